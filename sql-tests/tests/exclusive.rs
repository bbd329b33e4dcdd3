//! One gateway per data directory.

use tidegate_sql_tests::gateway::Gateway;

#[tokio::test]
async fn a_second_gateway_on_one_directory_is_refused_and_the_first_goes_on() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SECRET s AS 'x'").await;

    let second = Gateway::builder().data_dir(gateway.data_dir()).try_start();
    let message = second.err().expect("a second gateway must not start");
    let directory = gateway.data_dir().display().to_string();
    assert!(message.contains(&directory), "the message names the directory:\n{message}");
    assert!(message.contains("in use") || message.contains("another"), "the message says why:\n{message}");

    assert_eq!(client.value("SELECT count(*) FROM tidegate.secrets").await, "1");
    client.must("DROP SECRET s").await;
}

#[tokio::test]
async fn the_lock_of_a_killed_gateway_does_not_stay() {
    let mut gateway = Gateway::start();
    gateway.kill();
    gateway.start_again();
    gateway.connect().await;
}

#[test]
fn an_open_address_without_tls_and_passwords_is_refused() {
    let refused = Gateway::builder().listen("0.0.0.0:0").try_start();
    let message = refused.err().expect("it must not listen on every address without a password");
    assert!(message.to_lowercase().contains("tls"), "the message says what is missing:\n{message}");
}
