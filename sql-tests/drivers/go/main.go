// pgx against a gateway: usage drive PORT.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(ok bool, what ...any) {
	if !ok {
		log.Fatal(what...)
	}
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%s user=tester dbname=tidegate sslmode=disable", os.Args[1]))
	must(err)
	var notices []string
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { notices = append(notices, notice.Code) }
	connection, err := pgx.ConnectConfig(ctx, config)
	must(err)
	defer connection.Close(ctx)

	tag, err := connection.Exec(ctx, "CREATE SOURCE go TYPE sample WITH (scale_factor = '0.001')")
	must(err)
	check(tag.String() == "CREATE SOURCE", tag.String())
	_, err = connection.Exec(ctx, "CREATE SOURCE IF NOT EXISTS go TYPE sample WITH (scale_factor = '0.001')")
	must(err)
	check(len(notices) == 1 && notices[0] == "42710", notices)

	// Prepared and cached by the driver, results in binary.
	for range 3 {
		var name, kind string
		var jobs int64
		var capabilities []string
		var createdAt time.Time
		var lastError *string
		row := connection.QueryRow(ctx, "SELECT name, source_type, job_count, capabilities, created_at, last_error FROM tidegate.sources WHERE name = $1", "go")
		must(row.Scan(&name, &kind, &jobs, &capabilities, &createdAt, &lastError))
		check(name == "go" && kind == "sample" && jobs == 0 && len(capabilities) == 1 && lastError == nil, name, kind, jobs, capabilities)
		check(time.Since(createdAt) < time.Minute, createdAt)
	}
	rows, err := connection.Query(ctx, "SELECT l_orderkey, l_quantity::float8, l_shipdate, l_comment FROM go.tpch.lineitem WHERE l_orderkey > $1", 0)
	must(err)
	count := 0
	for rows.Next() {
		var key int64
		var quantity float64
		var shipped time.Time
		var comment string
		must(rows.Scan(&key, &quantity, &shipped, &comment))
		count++
	}
	must(rows.Err())
	check(count == 6005, count)

	var failure *pgconn.PgError
	_, err = connection.Exec(ctx, "SELECT nmae FROM tidegate.sources")
	check(errors.As(err, &failure) && failure.Code == "42703" && failure.Position == 8, err)

	// A batch in one round trip, and a transaction that is undone.
	batch := &pgx.Batch{}
	for n := range 10 {
		batch.Queue("SELECT $1::int + 1", n)
	}
	results := connection.SendBatch(ctx, batch)
	for n := range 10 {
		var answer int
		must(results.QueryRow().Scan(&answer))
		check(answer == n+1, answer)
	}
	must(results.Close())
	transaction, err := connection.Begin(ctx)
	must(err)
	_, err = transaction.Exec(ctx, "DROP SOURCE go")
	must(err)
	must(transaction.Rollback(ctx))

	// A deadline of the client cancels the statement; the connection is the driver's to replace.
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	_, err = connection.Exec(short, "SELECT count(*) FROM go.tpch.lineitem a, go.tpch.lineitem b, go.tpch.orders c WHERE a.l_comment < b.l_comment")
	end()
	check(err != nil, "a deadline has to end the statement")
	fresh, err := pgx.ConnectConfig(ctx, config)
	must(err)
	defer fresh.Close(ctx)
	_, err = fresh.Exec(ctx, "DROP SOURCE go")
	must(err)
	fmt.Println("ok")
}
