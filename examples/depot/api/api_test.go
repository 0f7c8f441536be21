package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// store gives a store over an empty database: the real one, which TEST_DATABASE_URL names.
func store(t *testing.T, schema int) *Store {
	t.Helper()
	url := os.Getenv("TEST_DATABASE_URL")
	if url == "" {
		t.Fatal("these tests need a PostgreSQL of their own: set TEST_DATABASE_URL")
	}
	opened, err := Open(context.Background(), url, os.Getenv("TEST_PASSWORD_FILE"), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	if _, err := opened.pool.Exec(context.Background(), "drop schema public cascade; create schema public"); err != nil {
		t.Fatal(err)
	}
	return opened
}

func migrated(t *testing.T, schema int) *Store {
	t.Helper()
	opened := store(t, schema)
	if at, err := opened.Migrate(context.Background(), os.DirFS("migrations")); err != nil || at < schema {
		t.Fatalf("the schema is at %d: %v", at, err)
	}
	return opened
}

func ask(t *testing.T, opened *Store, method, path, body string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	Handler(opened).ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder.Code, strings.TrimSpace(recorder.Body.String())
}

func TestWhatComesInAndGoesOutIsCounted(t *testing.T) {
	opened := migrated(t, 2)
	steps := []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/items", "", 200, `{"items":[]}`},
		{"POST", "/items", `{"sku":"TENT-2","name":"Tent","location":"A3"}`, 201, `{"sku":"TENT-2","name":"Tent","quantity":0,"location":"A3"}`},
		{"POST", "/items", `{"sku":"TENT-2","name":"Tent"}`, 409, `{"error":"there is an item of this number already"}`},
		{"POST", "/movements", `{"sku":"TENT-2","quantity":12,"reason":"delivery"}`, 200, `{"sku":"TENT-2","name":"Tent","quantity":12,"location":"A3"}`},
		{"POST", "/movements", `{"sku":"TENT-2","quantity":-13,"reason":"issue"}`, 409, `{"error":"the depot does not have that many"}`},
		{"POST", "/movements", `{"sku":"NONE","quantity":1,"reason":"delivery"}`, 404, `{"error":"there is no such item"}`},
		{"POST", "/items", `{"sku":"not a number","name":"x"}`, 400, `{"error":"the database refuses the value (items_sku_check)"}`},
		{"POST", "/items", `{"sku":"A","name":"x","price":1}`, 400, `{"error":"the request cannot be read: json: unknown field \"price\""}`},
		{"GET", "/items", "", 200, `{"items":[{"sku":"TENT-2","name":"Tent","quantity":12,"location":"A3"}]}`},
	}
	for _, step := range steps {
		if status, got := ask(t, opened, step.method, step.path, step.body); status != step.status || got != step.answer {
			t.Errorf("%s %s %s: %d %s, not %d %s", step.method, step.path, step.body, status, got, step.status, step.answer)
		}
	}
}

func TestManyAtOnceNeverTakeMoreThanThereIs(t *testing.T) {
	opened := migrated(t, 2)
	ask(t, opened, "POST", "/items", `{"sku":"ROPE","name":"Rope"}`)
	ask(t, opened, "POST", "/movements", `{"sku":"ROPE","quantity":25,"reason":"delivery"}`)
	statuses := make([]int, 40)
	var group sync.WaitGroup
	for at := range statuses {
		group.Go(func() {
			statuses[at], _ = ask(t, opened, "POST", "/movements", `{"sku":"ROPE","quantity":-1,"reason":"issue"}`)
		})
	}
	group.Wait()
	counted := map[int]int{}
	for _, status := range statuses {
		counted[status]++
	}
	if counted[200] != 25 || counted[409] != 15 {
		t.Errorf("25 of 40 should have been given: %v", counted)
	}
}

func TestAVersionIsReadyOnceTheSchemaIsWhereItNeedsIt(t *testing.T) {
	opened := store(t, 2)
	expect := func(status int, contains string) {
		t.Helper()
		if got, text := ask(t, opened, "GET", "/readyz", ""); got != status || !strings.Contains(text, contains) {
			t.Errorf("ready: %d %s", got, text)
		}
	}
	expect(http.StatusServiceUnavailable, "is at 0, and this version needs 2: run depot-api migrate")
	first, _ := os.ReadFile("migrations/0001-items.sql")
	only := fstest.MapFS{"0001-items.sql": {Data: first}}
	if at, err := opened.Migrate(context.Background(), only); err != nil || at != 1 {
		t.Fatalf("the schema is at %d: %v", at, err)
	}
	expect(http.StatusServiceUnavailable, "is at 1, and this version needs 2")
	if at, err := opened.Migrate(context.Background(), os.DirFS("migrations")); err != nil || at != 2 {
		t.Fatalf("the schema is at %d: %v", at, err)
	}
	expect(http.StatusOK, "ok")
}

func TestAnOlderVersionWorksOnANewerSchema(t *testing.T) {
	opened := migrated(t, 2)
	opened.schema = 1
	ask(t, opened, "POST", "/items", `{"sku":"TENT-2","name":"Tent"}`)
	if status, got := ask(t, opened, "GET", "/items", ""); status != 200 || got != `{"items":[{"sku":"TENT-2","name":"Tent","quantity":0}]}` {
		t.Errorf("items: %d %s", status, got)
	}
	if status, got := ask(t, opened, "GET", "/readyz", ""); status != 200 {
		t.Errorf("ready: %d %s", status, got)
	}
}

func TestMigrationsMayRunAgainAndAtOnce(t *testing.T) {
	opened := store(t, 2)
	failures := make(chan error, 8)
	for range 8 {
		go func() {
			at, err := opened.Migrate(context.Background(), os.DirFS("migrations"))
			if err == nil && at != 2 {
				err = fmt.Errorf("the schema is at %d", at)
			}
			failures <- err
		}()
	}
	for range 8 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

func TestAMigrationThatFailsLeavesTheSchemaAsItWas(t *testing.T) {
	opened := store(t, 2)
	broken := fstest.MapFS{"0001-a.sql": {Data: []byte("create table a ()")}, "0002-b.sql": {Data: []byte("create table b (); select nothing")}}
	at, err := opened.Migrate(context.Background(), broken)
	if at != 1 || err == nil || !strings.Contains(err.Error(), "0002-b.sql failed") {
		t.Errorf("at %d: %v", at, err)
	}
	var there bool
	if err := opened.pool.QueryRow(context.Background(), "select to_regclass('b') is not null").Scan(&there); err != nil || there {
		t.Errorf("half of the migration is there: %v", err)
	}
	gap := fstest.MapFS{"0003-c.sql": {Data: []byte("select 1")}}
	if _, err := opened.Migrate(context.Background(), gap); err == nil || !strings.Contains(err.Error(), "the migration 2 is missing") {
		t.Errorf("a gap: %v", err)
	}
}
