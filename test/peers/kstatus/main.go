// Prints what kstatus says of each of the objects of a file, a JSON list, as a JSON list.
package main

import (
	"encoding/json"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var objects []json.RawMessage
	if err := json.NewDecoder(file).Decode(&objects); err != nil {
		log.Fatal(err)
	}
	said := make([]string, 0, len(objects))
	for _, raw := range objects {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			log.Fatal(err)
		}
		result, err := status.Compute(object)
		if err != nil {
			said = append(said, "error")
			continue
		}
		said = append(said, string(result.Status))
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		log.Fatal(err)
	}
}
