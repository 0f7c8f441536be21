// Command pause holds the namespaces of a pod: it waits to be told to stop and, as the first process of a shared process
// namespace, reaps the processes that others leave behind.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("muster pause")
		return
	}
	// Two channels, so that a burst of ended children cannot crowd out the order to stop. Signals of one kind may be merged
	// into one: each SIGCHLD is answered by reaping all there is.
	stop := make(chan os.Signal, 1)
	ended := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(ended, syscall.SIGCHLD)
	for {
		reap()
		select {
		case <-stop:
			return
		case <-ended:
		}
	}
}

// reap collects every child that has ended, without waiting for one that has not.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
