//! Processes that are not what was expected, and what is told of them.

use super::*;

#[tokio::test]
async fn a_second_coordinator_on_the_same_store_exits_with_one_clear_line() {
    let ports = Ports::open().await;
    let store = ports.rig.folder().join("coordinator.redb");
    let second = Command::new(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--data"])
        .arg(&store)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(20), second).await;
    let output = output.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.contains("another coordinator"), "{stderr}");
    assert!(stderr.contains("coordinator.redb"), "{stderr}");
    assert!(output.stdout.is_empty(), "it never said that it listens");
    ports.close().await;
}

/// Of several coordinators some are gone, hang, or are something else: the others are asked at the same time.
#[tokio::test]
async fn in_a_list_of_coordinators_the_one_that_lives_is_found() {
    let ports = Ports::open().await;
    let (silent, gone) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let server = ports.ports[0].address.clone();
    let useless = [address(&silent), address(&gone), server].join(",");
    drop(gone);
    let began = Instant::now();
    let list = format!("{useless},{}", ports.rig.coordinator());
    let client = Client::connect(&list).await.unwrap();
    assert!(
        began.elapsed() < peer::CONNECT_TIMEOUT,
        "it did not wait for the silent one"
    );
    client.status().await.unwrap();
    let options = ClientOptions {
        timeout: 3 * peer::CONNECT_TIMEOUT,
        ..ClientOptions::default()
    };
    let error = Client::connect_with(&useless, options).await.unwrap_err();
    let Error::NoCoordinator { tried } = &error else {
        panic!("{error:?}");
    };
    let tried: Vec<&str> = tried.iter().map(|(address, _)| address).collect();
    assert_eq!(tried.len(), 3, "{error}");
    for address in useless.split(',') {
        assert!(error.to_string().contains(address), "{error}");
    }
    let error = Client::connect("127.0.0.1").await.unwrap_err();
    assert!(matches!(error, Error::BadAddresses(_)), "{error:?}");
    ports.close().await;
}

#[cfg(not(feature = "etcd"))]
#[tokio::test]
async fn etcd_in_a_program_built_without_it_is_one_clear_line() {
    let coordinator = Command::new(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--etcd"])
        .arg("http://127.0.0.1:2379")
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(20), coordinator).await;
    let output = output.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.contains("--features etcd"), "{stderr}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line_too() {
    let ports = Ports::open().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let coordinator = ports.rig.coordinator();
    let mut commands = [Command::new(binary()), Command::new(binary())];
    commands[0]
        .args(["coordinator", "--listen", coordinator, "--data"])
        .arg(&data);
    commands[1].args([
        "server",
        "--listen",
        coordinator,
        "--coordinator",
        coordinator,
    ]);
    for command in &mut commands {
        let output = timeout(Duration::from_secs(20), command.kill_on_drop(true).output()).await;
        let output = output.expect("it ends by itself").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
        assert!(stderr.contains(coordinator), "{stderr}");
    }
    ports.close().await;
}
