// depot-api keeps what a depot has and what moves, in PostgreSQL.
//
//	depot-api migrate   brings the schema up to date and ends
//	depot-api serve     answers HTTP on :8080
//
// DATABASE_URL says where the database is, PASSWORD_FILE where its password lies: it is read anew for each connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Set when the program is built: its version, and the version of the schema that it works with.
var (
	version    = "0.0.0"
	schemaText = "2"
)

const migrations = "/usr/share/depot/migrations"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		slog.Error("depot-api ends", "version", version, "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	schema, err := strconv.Atoi(schemaText)
	if err != nil {
		return fmt.Errorf("this program was built with the schema %q, which is no number: build it again", schemaText)
	}
	if len(args) != 1 || (args[0] != "serve" && args[0] != "migrate") {
		return errors.New("say what to do: depot-api serve, or depot-api migrate")
	}
	store, err := Open(ctx, os.Getenv("DATABASE_URL"), os.Getenv("PASSWORD_FILE"), schema)
	if err != nil {
		return err
	}
	defer store.Close()
	if args[0] == "serve" {
		return serve(ctx, store)
	}
	ctx, cancel := context.WithTimeout(ctx, 100*time.Second)
	defer cancel()
	at, err := store.Migrate(ctx, os.DirFS(migrations))
	if err != nil {
		return err
	}
	slog.Info("the schema is up to date", "version", version, "schema", at)
	return nil
}

func serve(ctx context.Context, store *Store) error {
	server := &http.Server{
		Addr:              ":8080",
		Handler:           Handler(store),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	slog.Info("depot-api answers", "version", version, "address", server.Addr)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(last)
}
