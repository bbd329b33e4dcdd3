//! Passwords and TLS over the wire: what libpq itself accepts, and what the gateway refuses.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tidegate_sql_tests::gateway::{Gateway, run_command};
use tidegate_sql_tests::skip;

const PASSWORD: &str = "pa'ss \"wörd\\ 1:/@";

/// A self-signed certificate for localhost and its key.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    match made {
        Ok(output) if output.status.success() => Some((certificate, key)),
        Ok(output) => panic!("openssl failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            skip::skipped("openssl is not installed, so there is no certificate to test with");
            None
        }
    }
}

/// The users file with one role, made by the program itself.
fn users_file(folder: &Path) -> PathBuf {
    let (status, line, stderr) = run_command(&["hash-password", "etl"], Some(&format!("{PASSWORD}\n")));
    assert!(status.success(), "{stderr}");
    assert!(line.contains("SCRAM-SHA-256$") && !line.contains(PASSWORD), "{line}");
    let path = folder.join("users");
    fs::write(&path, line).expect("the users file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may");
    path
}

/// psql with a connection string and a password of its own.
fn psql(conninfo: &str, password: Option<&str>, sql: &str) -> Output {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-w", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", conninfo, "-c", sql])
        .env("LC_ALL", "C.UTF-8");
    match password {
        Some(password) => command.env("PGPASSWORD", password),
        None => command.env_remove("PGPASSWORD"),
    };
    command.env("PGPASSFILE", "/dev/null").output().expect("psql is there: sql-tests/services get psql")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A gateway that asks for passwords and has a certificate.
fn guarded(folder: &Path, listen: &str) -> Option<(Gateway, PathBuf)> {
    let (certificate, key) = certificate(folder)?;
    let users = users_file(folder);
    let mut gateway = Gateway::builder()
        .listen(listen)
        .args(["--auth", "scram", "--users-file", users.to_str().unwrap()])
        .args(["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()])
        .start();
    gateway.allow_log("login|password|authentication|TLS|tls");
    gateway.plant(PASSWORD);
    Some((gateway, certificate))
}

#[test]
fn a_password_over_tls_is_proved_with_the_channel_bound() {
    let folder = tempfile::tempdir().unwrap();
    let Some((gateway, certificate)) = guarded(folder.path(), "127.0.0.1:0") else { return };
    let base = format!("host=localhost hostaddr=127.0.0.1 port={} dbname=tidegate connect_timeout=10", gateway.port());
    let verified = format!("{base} user=etl sslmode=verify-full sslrootcert={}", certificate.display());

    let output = psql(&format!("{verified} channel_binding=require"), Some(PASSWORD), "SELECT current_user");
    assert!(output.status.success() && said(&output).trim() == "etl", "{}", said(&output));
    // The plain mechanism serves clients that do not bind the channel.
    let output = psql(&format!("{verified} channel_binding=disable"), Some(PASSWORD), "SELECT current_user");
    assert!(output.status.success() && said(&output).trim() == "etl", "{}", said(&output));

    // A wrong password, none, and a role that is not there are refused, and the two look the same.
    let wrong = psql(&verified, Some("wrong"), "SELECT 1");
    assert!(!wrong.status.success());
    assert!(said(&wrong).contains("password authentication failed for user \"etl\""), "{}", said(&wrong));
    let nobody = psql(&verified.replace("user=etl", "user=nobody"), Some(PASSWORD), "SELECT 1");
    assert!(!nobody.status.success());
    assert!(said(&nobody).contains("password authentication failed for user \"nobody\""), "{}", said(&nobody));
    let none = psql(&verified, None, "SELECT 1");
    assert!(!none.status.success() && said(&none).contains("no password supplied"), "{}", said(&none));

    // The certificate is the one that was given: another root does not verify it.
    let other = tempfile::tempdir().unwrap();
    let (stranger, _) = self::certificate(other.path()).expect("openssl was there a moment ago");
    let conninfo = format!("{base} user=etl sslmode=verify-full sslrootcert={}", stranger.display());
    let output = psql(&conninfo, Some(PASSWORD), "SELECT 1");
    assert!(!output.status.success() && said(&output).contains("certificate verify failed"), "{}", said(&output));
}

/// An address of this machine that is not loopback. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn an_open_address_takes_no_client_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let Some((gateway, certificate)) = guarded(folder.path(), "0.0.0.0:0") else { return };
    let Some(address) = own_address() else {
        skip::skipped("this machine has no address but loopback, from where plain connections are taken");
        return;
    };
    let base = format!("host=localhost hostaddr={address} port={} dbname=tidegate user=etl", gateway.port());
    let plain = psql(&format!("{base} sslmode=disable"), Some(PASSWORD), "SELECT 1");
    assert!(!plain.status.success() && said(&plain).to_uppercase().contains("TLS"), "{}", said(&plain));
    let secured = format!("{base} sslmode=verify-ca sslrootcert={}", certificate.display());
    let output = psql(&secured, Some(PASSWORD), "SELECT 1");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_certificate_or_users_file_that_cannot_be_read_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let Some((certificate, key)) = certificate(folder.path()) else { return };
    let users = users_file(folder.path());
    let broken = folder.path().join("broken.pem");
    fs::write(&broken, "this is no certificate").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (certificate, key, users, named) in [
        (text(&broken), text(&key), text(&users), "broken.pem"),
        (text(&certificate), text(&broken), text(&users), "broken.pem"),
        (text(&certificate), "/no/such.key".to_owned(), text(&users), "/no/such.key"),
        (text(&certificate), text(&key), "/no/such/users".to_owned(), "/no/such/users"),
    ] {
        let arguments = ["--auth", "scram", "--users-file", &users, "--tls-cert", &certificate, "--tls-key", &key];
        let refused = Gateway::builder().args(arguments).try_start();
        let message = refused.err().unwrap_or_else(|| panic!("it started with {arguments:?}"));
        assert!(message.contains(named), "the message names {named}:\n{message}");
    }
}
