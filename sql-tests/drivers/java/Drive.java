// pgjdbc against a gateway: usage Drive PORT.
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import org.postgresql.util.PSQLException;

public final class Drive {
    private static void check(boolean ok, Object what) {
        if (!ok) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    private static String failure(Connection connection, String sql) {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
            throw new AssertionError("this had to fail: " + sql);
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/tidegate?user=tester&sslmode=disable&ApplicationName=drive";
        try (Connection connection = DriverManager.getConnection(url)) {
            try (Statement statement = connection.createStatement()) {
                // DDL has a tag and no rows: executeUpdate would fail on rows.
                check(statement.executeUpdate("CREATE SOURCE jv TYPE sample WITH (scale_factor = '0.001')") == 0, "executeUpdate");
                statement.executeUpdate("CREATE SOURCE IF NOT EXISTS jv TYPE sample WITH (scale_factor = '0.001')");
                check(statement.getWarnings() != null && "42710".equals(statement.getWarnings().getSQLState()), statement.getWarnings());
            }
            String sql = "SELECT name, job_count, capabilities, created_at, last_error FROM tidegate.sources WHERE name = ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                // More often than prepareThreshold, so that the named statement and binary results are used too.
                for (int i = 0; i < 8; i++) {
                    statement.setString(1, "jv");
                    try (ResultSet rows = statement.executeQuery()) {
                        check(rows.next(), "a row");
                        check("jv".equals(rows.getString(1)) && rows.getLong(2) == 0, rows.getString(1));
                        check("read".equals(((String[]) rows.getArray(3).getArray())[0]), rows.getString(3));
                        check(rows.getObject(4, OffsetDateTime.class) != null, rows.getString(4));
                        check(rows.getString(5) == null && rows.wasNull(), "NULL");
                        check(!rows.next(), "one row");
                    }
                }
            }
            // A fetch size makes a portal that is read in pieces.
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(500);
                int count = 0;
                try (ResultSet rows = statement.executeQuery("SELECT l_orderkey, l_extendedprice, l_shipdate FROM jv.tpch.lineitem")) {
                    while (rows.next()) {
                        check(rows.getBigDecimal(2).signum() > 0 && rows.getDate(3) != null, "values");
                        count++;
                    }
                }
                check(count == 6005, count);
            }
            connection.commit();

            check("42703".equals(failure(connection, "SELECT nmae FROM tidegate.sources")), "42703");
            check("25P02".equals(failure(connection, "SELECT 1")), "25P02");
            connection.rollback();
            connection.setAutoCommit(true);

            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                long began = System.nanoTime();
                try {
                    statement.executeQuery("SELECT count(*) FROM jv.tpch.lineitem a, jv.tpch.lineitem b, jv.tpch.orders c WHERE a.l_comment < b.l_comment");
                    throw new AssertionError("the query had to be canceled");
                } catch (PSQLException error) {
                    check("57014".equals(error.getSQLState()), error);
                }
                check((System.nanoTime() - began) / 1_000_000 < 3_000, "the cancel came late");
            }

            DatabaseMetaData meta = connection.getMetaData();
            check(meta.getDatabaseMajorVersion() >= 14, meta.getDatabaseProductVersion());
            try (ResultSet tables = meta.getTables(null, "tidegate", "job%", new String[] {"TABLE", "SYSTEM TABLE"})) {
                boolean found = false;
                while (tables.next()) {
                    found |= "jobs".equals(tables.getString("TABLE_NAME"));
                }
                check(found, "getTables finds tidegate.jobs");
            }
            try (ResultSet columns = meta.getColumns(null, "tidegate", "jobs", "%")) {
                int count = 0;
                while (columns.next()) {
                    count++;
                }
                check(count > 15, "getColumns has " + count);
            }
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("DROP SOURCE jv");
            }
        }
        System.out.println("ok");
    }
}
