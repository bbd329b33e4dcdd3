"""psycopg 3 against a gateway: usage drive.py PORT."""
import sys

import psycopg

with psycopg.connect(host="127.0.0.1", port=sys.argv[1], user="tester", dbname="tidegate") as connection:
    assert connection.info.parameter_status("server_encoding") == "UTF8"
    with connection.cursor() as cursor:
        cursor.execute("CREATE SOURCE py TYPE sample WITH (scale_factor = '0.001')")
        # The first statement began a block: nobody else sees the source yet.
        connection.commit()

        # Parameters, in text and in binary, prepared after the first use.
        for _ in range(8):
            cursor.execute(
                "SELECT name, source_type, job_count, capabilities, created_at FROM tidegate.sources WHERE name = %s",
                ("py",), prepare=True)
            name, source_type, job_count, capabilities, created_at = cursor.fetchone()
            assert (name, source_type, job_count) == ("py", "sample", 0), (name, source_type, job_count)
            assert capabilities == ["read"] and created_at.tzinfo is not None, (capabilities, created_at)
        cursor.execute("SELECT count(*) FROM py.tpch.orders WHERE o_orderkey < %s", (1000,), binary=True)
        few = cursor.fetchone()[0]
        cursor.execute("SELECT o_orderkey, o_totalprice, o_orderdate FROM py.tpch.orders WHERE o_orderkey < 1000", binary=True)
        assert len(cursor.fetchall()) == few > 0

    # A named cursor reads in pieces.
    with connection.cursor(name="pieces") as cursor:
        cursor.itersize = 500
        cursor.execute("SELECT l_orderkey, l_comment FROM py.tpch.lineitem")
        assert sum(1 for _ in cursor) == 6005
    connection.commit()

    # Errors carry their code, hint and the state of the block.
    try:
        connection.execute("SELECT nmae FROM tidegate.sources")
        raise SystemExit("this had to fail")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.sqlstate == "42703" and error.diag.statement_position == "8", error.diag.statement_position
    try:
        connection.execute("SELECT 1")
        raise SystemExit("the block had to be aborted")
    except psycopg.errors.InFailedSqlTransaction:
        connection.rollback()

    # A nested block is a savepoint; what it did is undone with it.
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("CREATE SOURCE inner_one TYPE sample")
                raise KeyError
        except KeyError:
            pass
        assert connection.execute("SELECT count(*) FROM tidegate.sources").fetchone() == (1,)

    # Notices arrive.
    notices = []
    connection.add_notice_handler(lambda diagnostic: notices.append((diagnostic.sqlstate, diagnostic.message_primary)))
    connection.execute("CREATE SOURCE IF NOT EXISTS py TYPE sample WITH (scale_factor = '0.001')")
    assert notices == [("42710", 'source "py" already exists, skipping')], notices

    # A secret travels as a bind value.
    connection.execute("CREATE SECRET bound AS %s", ("not-in-the-text",))
    connection.execute("DROP SECRET bound")
    connection.execute("DROP SOURCE py")
    connection.commit()

    # A pipeline of several statements in one round trip.
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int + 1", (n,)) for n in range(20)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1, 21))
    connection.commit()
print("ok")
