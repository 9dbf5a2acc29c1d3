//! Whoever connects and does not speak the protocol, or does not speak at all.

use super::*;

#[tokio::test]
async fn garbage_instead_of_a_preface_is_closed_unanswered() {
    let ports = Ports::open().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for port in &ports.ports {
        let mut garbage = vec![0; 100_000];
        rng.fill_bytes(&mut garbage);
        let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for bytes in [&garbage[..], &http[..], &[0; 8], &[0xff; 64]] {
            let heard = say(&port.address, bytes, false, "garbage").await;
            assert!(heard.is_empty(), "nothing is said to strangers: {heard:?}");
        }
        for len in 0..8 {
            let cut = &preface(PROTOCOL_VERSION, port.offered as u8)[..len];
            let heard = say(&port.address, cut, true, "a cut preface").await;
            assert!(heard.is_empty());
        }
    }
    ports.close().await;
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_after_a_while() {
    let ports = Ports::open().await;
    let silent = ports.ports.clone().map(|port| async move {
        say(&port.address, &[], false, "silence").await;
        say(&port.address, b"FUSN", false, "half a preface").await;
    });
    futures::future::join_all(silent).await;
    ports.close().await;
}

#[tokio::test]
async fn another_version_and_another_service_are_told_and_closed() {
    let ports = Ports::open().await;
    for port in &ports.ports {
        for version in [0, PROTOCOL_VERSION + 1, u16::MAX] {
            let hello = preface(version, port.offered as u8);
            let heard = say(&port.address, &hello, false, "another version").await;
            assert_eq!(
                heard[..6],
                preface(PROTOCOL_VERSION, 0)[..6],
                "it says its own"
            );
            assert_eq!(heard.len(), 8);
        }
        for service in [0, port.other as u8, 200] {
            let hello = preface(PROTOCOL_VERSION, service);
            let heard = say(&port.address, &hello, false, "another service").await;
            assert_eq!(heard, preface(PROTOCOL_VERSION, 0), "none is offered");
        }
        let error = wire::connect(&Network::loopback(), &port.address, port.other, PATIENCE).await;
        let told = matches!(error, Err(ConnectError::WrongService { .. }));
        assert!(told, "{error:?}");
    }
    // A server's address given for the coordinator's.
    let error = Client::connect(&ports.ports[0].address).await.unwrap_err();
    let Error::NoCoordinator { tried } = &error else {
        panic!("{error:?}");
    };
    let mut reasons = tried.iter().map(|(_, why)| why);
    let wrong = |why: &Attempt| matches!(why, Attempt::NotReached(e) if matches!(**e, ConnectError::WrongService { .. }));
    assert!(reasons.any(wrong), "{error:?}");
    ports.close().await;
}

/// Hundreds of strangers at once, none of whom ever says anything more.
#[tokio::test]
async fn open_connections_of_strangers_keep_nobody_out() {
    let ports = Ports::open().await;
    let mut strangers = Vec::new();
    for port in &ports.ports {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        for i in 0..300 {
            let mut stream = TcpStream::connect(&port.address).await.unwrap();
            // Silent ones, half prefaces, and ones in the middle of a frame.
            let begun = [&hello[..], &[0, 0, 4, 0, 1, 2][..]].concat();
            let say = [0, 4, begun.len()][i % 3];
            stream.write_all(&begun[..say]).await.unwrap();
            strangers.push(stream);
        }
    }
    ports.assert_well("600 strangers are there").await;
    drop(strangers);
    ports.close().await;
}

/// More strangers than the process has room for, all idle: the ones that have been so for longest have to leave.
#[tokio::test]
async fn idle_strangers_beyond_the_bound_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    // Few files, of which the soft limit is even fewer: the process raises it as far as it may.
    let mut limited = Command::new("sh")
        .args(["-c", "ulimit -Sn 40; ulimit -Hn 320; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["coordinator", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("store"))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = limited.stdout.take().unwrap();
    let mut stdout = tokio::io::BufReader::new(stdout);
    tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line)
        .await
        .unwrap();
    let address = line
        .trim()
        .rsplit_once(' ')
        .expect("an address")
        .1
        .to_owned();
    let hello = preface(PROTOCOL_VERSION, Service::Coordinator as u8);
    let mut strangers = Vec::new();
    for i in 0..500 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut answer = [0; 8];
        let answered = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        answered
            .unwrap_or_else(|_| panic!("stranger {i} waits for a place"))
            .unwrap();
        strangers.push(stream);
    }
    let client = timeout(PATIENCE, Client::connect(&address)).await;
    let client = client.expect("it is let in").unwrap();
    client.status().await.unwrap();
    limited.kill().await.unwrap();
}

/// A stranger's nonsense is said once in a while, not once a frame: who sends it must not fill the disk.
#[tokio::test]
async fn nonsense_of_strangers_does_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut coordinator = Command::new(binary())
        .env_remove("RUST_LOG")
        .args(["coordinator", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("store"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = coordinator.stdout.take().unwrap();
    let mut stdout = tokio::io::BufReader::new(stdout);
    tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line)
        .await
        .unwrap();
    let address = line.trim().rsplit_once(' ').expect("an address").1;
    let hello = preface(PROTOCOL_VERSION, Service::Coordinator as u8);
    let began = Instant::now();
    for _ in 0..200 {
        let bytes = [&hello[..], &frame(&[0xff; 40])].concat();
        assert_eq!(say(address, &bytes, false, "nonsense").await, hello);
    }
    let intervals = 1 + began.elapsed().as_secs() as usize / 10;
    coordinator.kill().await.unwrap();
    let mut log = String::new();
    let mut stderr = coordinator.stderr.take().unwrap();
    stderr.read_to_string(&mut log).await.unwrap();
    let said = log.lines().filter(|l| l.contains("a connection was"));
    let said = said.count();
    assert!((1..=intervals).contains(&said), "{log}");
}
