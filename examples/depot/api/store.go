package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Item is a thing that the depot keeps.
type Item struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Quantity int64  `json:"quantity"`
	Location string `json:"location,omitempty"`
}

// What a request asks for and the depot cannot give.
var (
	ErrUnknownItem = errors.New("there is no such item")
	ErrItemExists  = errors.New("there is an item of this number already")
	ErrNotEnough   = errors.New("the depot does not have that many")
	ErrInvalid     = errors.New("the database refuses the value")
)

// Store is the depot's data.
type Store struct {
	pool   *pgxpool.Pool
	schema int
}

// Open prepares connections; none is made before it is needed. The password is read from its file for each connection, so that a
// new one counts without a restart.
func Open(ctx context.Context, url, passwordFile string, schema int) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL cannot be read: %w", err)
	}
	config.MaxConns = 8
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	if passwordFile != "" {
		config.BeforeConnect = func(_ context.Context, connection *pgx.ConnConfig) error {
			password, err := os.ReadFile(passwordFile)
			if err != nil {
				return fmt.Errorf("the password of the database cannot be read: %w", err)
			}
			connection.Password = strings.TrimRight(string(password), "\r\n")
			return nil
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Store{pool: pool, schema: schema}, nil
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// migrationLock is the key under which one migration at a time is done, whoever does it.
const migrationLock = 0x6465706f74

var migrationName = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.sql$`)

// Migrate applies those migrations of a folder that the database does not have, each in a transaction of its own, in order. It gives
// the version of the schema afterwards.
func (s *Store) Migrate(ctx context.Context, folder fs.FS) (int, error) {
	names, err := fs.Glob(folder, "*.sql")
	if err != nil {
		return 0, err
	}
	connection, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("the database cannot be reached: %w", err)
	}
	defer connection.Release()
	if _, err := connection.Exec(ctx, "select pg_advisory_lock($1)", migrationLock); err != nil {
		return 0, err
	}
	defer func() {
		_, _ = connection.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", migrationLock)
	}()
	if _, err := connection.Exec(ctx, "create table if not exists schema_versions (version int primary key, at timestamptz not null default now())"); err != nil {
		return 0, err
	}
	at, err := versionOf(ctx, connection)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		parts := migrationName.FindStringSubmatch(name)
		if parts == nil {
			return at, fmt.Errorf("%s is no name of a migration: name it like 0001-items.sql", name)
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil || number <= at {
			continue
		}
		if number != at+1 {
			return at, fmt.Errorf("the migration %d is missing: the schema is at %d, and the next there is %s", at+1, at, name)
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return at, err
		}
		err = pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, string(text)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "insert into schema_versions (version) values ($1)", number)
			return err
		})
		if err != nil {
			return at, fmt.Errorf("the migration %s failed: %w", name, err)
		}
		at = number
	}
	return at, nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func versionOf(ctx context.Context, from querier) (int, error) {
	var at int
	err := from.QueryRow(ctx, "select coalesce(max(version), 0) from schema_versions").Scan(&at)
	return at, err
}

const undefinedTable = "42P01"

// Ready says why requests could not be answered now; nil where they can.
func (s *Store) Ready(ctx context.Context) error {
	at, err := versionOf(ctx, s.pool)
	if isCode(err, undefinedTable) {
		at, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("the database cannot be asked: %w", err)
	}
	if at < s.schema {
		return fmt.Errorf("the schema of the database is at %d, and this version needs %d: run depot-api migrate", at, s.schema)
	}
	return nil
}

// location is where an item lies, as far as the schema of this version knows.
func (s *Store) location() string {
	if s.schema >= 2 {
		return "location"
	}
	return "''"
}

// Items are all that the depot keeps, by their numbers.
func (s *Store) Items(ctx context.Context) ([]Item, error) {
	rows, err := s.pool.Query(ctx, "select sku, name, quantity, "+s.location()+" from items order by sku limit 1000")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
}

// Add takes a new item in.
func (s *Store) Add(ctx context.Context, item Item) error {
	err := error(nil)
	if s.schema >= 2 {
		_, err = s.pool.Exec(ctx, "insert into items (sku, name, location) values ($1, $2, $3)", item.SKU, item.Name, item.Location)
	} else {
		_, err = s.pool.Exec(ctx, "insert into items (sku, name) values ($1, $2)", item.SKU, item.Name)
	}
	return meant(err)
}

// Move changes how many of an item are there, and writes down why. It gives the item as it is then.
func (s *Store) Move(ctx context.Context, sku string, quantity int64, reason string) (Item, error) {
	var item Item
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		row := tx.QueryRow(ctx, "update items set quantity = quantity + $2 where sku = $1 returning sku, name, quantity, "+s.location(), sku, quantity)
		if err := row.Scan(&item.SKU, &item.Name, &item.Quantity, &item.Location); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "insert into movements (sku, quantity, reason) values ($1, $2, $3)", sku, quantity, reason)
		return err
	})
	return item, meant(err)
}

const (
	uniqueViolation  = "23505"
	checkViolation   = "23514"
	outOfRange       = "22003"
	invalidCharacter = "22021"
)

// meant turns what the database says of a request into what it means to who asked.
func meant(err error) error {
	var answer *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrUnknownItem
	case !errors.As(err, &answer):
		return err
	case answer.Code == uniqueViolation:
		return ErrItemExists
	case answer.Code == checkViolation && answer.ConstraintName == "items_quantity_check":
		return ErrNotEnough
	case answer.Code == checkViolation, answer.Code == outOfRange, answer.Code == invalidCharacter:
		return fmt.Errorf("%w (%s)", ErrInvalid, answer.ConstraintName)
	}
	return err
}

func isCode(err error, code string) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == code
}
