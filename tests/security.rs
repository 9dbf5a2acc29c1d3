//! Mutual TLS: who is let in, who is not, and what each of them is told.

use fusion_core::op::{Op, Reply};
use fusion_net::client::{Attempt, Client, ClientOptions, Error, Kind};
use fusion_net::transport::{Authority, Issued, Network, ReachError, Tls, TlsError, TlsFiles};
use fusion_net::wire::{self, ConnectError, PROTOCOL_VERSION, Service};
use fusion_tests::cluster::{PATIENCE, Rig, Seat, binary, options, start, start_with, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

const DAY: Duration = Duration::from_secs(86_400);

/// A folder of authorities and certificates.
struct Papers {
    folder: TempDir,
    authority: Authority,
}

impl Papers {
    fn new() -> Papers {
        Papers {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(DAY).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Files `NAME.pem`, `NAME.key` and `NAME.ca`.
    fn write(&self, name: &str, issued: &Issued, authority: &str) -> TlsFiles {
        let files = TlsFiles {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            authority: self.path(&format!("{name}.ca")),
        };
        fs::write(&files.certificate, &issued.certificate).unwrap();
        fs::write(&files.key, &issued.key).unwrap();
        fs::write(&files.authority, authority).unwrap();
        files
    }

    fn issue(&self, name: &str, hosts: &[&str], lifetime: Duration) -> TlsFiles {
        let hosts: Vec<String> = hosts.iter().map(|&h| h.to_owned()).collect();
        let issued = self.authority.issue(&hosts, lifetime).unwrap();
        self.write(name, &issued, self.authority.certificate())
    }

    /// A certificate of another authority, whose holder believes this one.
    fn forged(&self, name: &str) -> TlsFiles {
        let other = Authority::new(DAY).unwrap();
        let issued = other.issue(&["127.0.0.1".to_owned()], DAY).unwrap();
        let both = format!("{}{}", self.authority.certificate(), other.certificate());
        self.write(name, &issued, &both)
    }
}

fn tls(files: &TlsFiles) -> Network {
    Network::tls(Tls::load(files).unwrap())
}

async fn secure_rig(papers: &Papers, servers: usize) -> Rig {
    let mut options = options();
    options.tls = Some(papers.issue("process", &["127.0.0.1", "localhost"], DAY));
    start_with(options, servers).await
}

async fn connect(network: &Network, address: &str) -> Result<(), ConnectError> {
    let connected = wire::connect(network, address, Service::Coordinator, PATIENCE).await;
    connected.map(drop)
}

#[tokio::test]
async fn a_cluster_that_speaks_tls_only_serves_and_recovers() {
    let papers = Papers::new();
    let mut rig = secure_rig(&papers, 4).await;
    let raw = rig.create("c", Kind::Map, 2, 1).await.remove(0);
    for i in 0..200_u32 {
        let key = i.to_be_bytes().to_vec().into();
        let value = vec![i as u8; 1000].into();
        raw.call(Op::Put { key, value }).await.unwrap();
    }
    // Longer than TLS's records and its buffers.
    let large = Op::Put {
        key: "large".into(),
        value: vec![7; 5 << 20].into(),
    };
    raw.call(large).await.unwrap();
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    let reply = raw
        .call(Op::Get {
            key: "large".into(),
        })
        .await
        .unwrap();
    assert_eq!(reply, Reply::Value(vec![7; 5 << 20].into()));
    assert_eq!(raw.call(Op::Len).await.unwrap(), Reply::Len(201));
    rig.stop().await;
}

#[tokio::test]
async fn who_has_no_certificate_of_the_authority_is_not_let_in() {
    let papers = Papers::new();
    let rig = secure_rig(&papers, 1).await;
    let server = rig.server(0).unwrap().address().to_owned();
    let coordinator = rig.coordinator().to_owned();
    for (address, service) in [
        (&coordinator, Service::Coordinator),
        (&server, Service::Primary),
    ] {
        // Plain.
        let said = wire::connect(&Network::loopback(), address, service, PATIENCE).await;
        let told = matches!(said, Err(ConnectError::Reach(ReachError::TlsThere)));
        assert!(told, "{said:?}");
        // Another authority's.
        let forged = tls(&papers.forged("forged"));
        let said = wire::connect(&forged, address, service, PATIENCE).await;
        let told = matches!(said, Err(ConnectError::Reach(ReachError::Refused(_))));
        assert!(told, "{said:?}");
    }
    let client = ClientOptions {
        network: tls(&papers.issue("client", &["anybody"], DAY)),
        ..ClientOptions::default()
    };
    let client = Client::connect_with(&coordinator, client).await.unwrap();
    assert_eq!(client.status().await.unwrap().servers.len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_certificate_for_another_host_does_not_do() {
    let papers = Papers::new();
    let rig = secure_rig(&papers, 0).await;
    let network = tls(&papers.issue("client", &["client"], DAY));
    let port = rig.coordinator().rsplit_once(':').unwrap().1.to_owned();
    connect(&network, &format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    connect(&network, &format!("localhost:{port}"))
        .await
        .unwrap();
    // The same process, by an address that its certificate does not name.
    let said = connect(&network, &format!("127.0.0.2:{port}")).await;
    // It listens on 127.0.0.1 alone, so this one is refused by the system...
    assert!(matches!(said, Err(ConnectError::Io(_))), "{said:?}");
    // ...and a name that leads there is refused by its certificate.
    let elsewhere = tls(&papers.issue("elsewhere", &["db.example.com"], DAY));
    let listener = elsewhere
        .listen("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let store = fusion_net::coordinator::RedbStore::open(&folder.path().join("s")).unwrap();
    let options = fusion_net::coordinator::CoordinatorOptions::default();
    let serving = fusion_net::coordinator::serve(listener, std::sync::Arc::new(store), options);
    let serving = tokio::spawn(serving);
    let said = connect(&network, &address).await;
    let told = matches!(&said, Err(ConnectError::Reach(ReachError::BadCertificate(why))) if why.contains("db.example.com"));
    assert!(told, "{said:?}");
    serving.abort();
    rig.stop().await;
}

#[tokio::test]
async fn a_peer_that_speaks_tls_to_a_port_without_it_is_told() {
    let papers = Papers::new();
    let rig = start(1).await;
    let network = tls(&papers.issue("client", &["client"], DAY));
    let server = rig.server(0).unwrap().address().to_owned();
    for address in [rig.coordinator(), &server] {
        for _ in 0..20 {
            let said = connect(&network, address).await;
            let told = matches!(said, Err(ConnectError::Reach(ReachError::PlainThere)));
            assert!(told, "{said:?}");
        }
    }
    rig.stop().await;
}

/// What is not TLS, half of it, or none: closed soon, and the process serves on.
#[tokio::test]
async fn strangers_at_a_tls_port_close_their_own_connection_only() {
    let papers = Papers::new();
    let rig = secure_rig(&papers, 1).await;
    let server = rig.server(0).unwrap().address().to_owned();
    let mut preface = b"FUSN".to_vec();
    preface.extend(PROTOCOL_VERSION.to_le_bytes());
    preface.extend([Service::Primary as u8, 0]);
    let hello_cut = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let huge_record = [&[0x16, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    for (bytes, answered) in [
        (&preface[..], true),
        (b"GET / HTTP/1.1\r\n\r\n", false),
        (&[0; 100], false),
        (&hello_cut, false),
        (&huge_record, true),
        (&[0x16], false),
        (&[], false),
    ] {
        let conversation = async {
            let mut stream = TcpStream::connect(&server).await.unwrap();
            let _ = stream.write_all(bytes).await;
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
            heard
        };
        let heard = timeout(PATIENCE, conversation).await.expect("it closes");
        assert!(answered || heard.is_empty(), "{bytes:?}: {heard:?}");
    }
    rig.client.status().await.unwrap();
    rig.stop().await;
}

async fn fusion(args: &[&str]) -> Output {
    let command = Command::new(binary())
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(20), command).await;
    output.expect("it ends by itself").unwrap()
}

/// Fails with status 1 and one line that says all of this.
async fn assert_one_line(args: &[&str], says: &[&str]) {
    let output = fusion(args).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for what in says {
        assert!(stderr.contains(what), "{args:?}: no {what:?} in {stderr}");
    }
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[tokio::test]
async fn without_tls_a_process_stays_on_this_machine_unless_told_otherwise() {
    let here = ["server", "--coordinator", "127.0.0.1:1", "--listen"];
    let open = [&here[..], &["0.0.0.0:0"]].concat();
    assert_one_line(&open, &["0.0.0.0:0", "--tls-cert", "--insecure"]).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store").display().to_string();
    let open = ["coordinator", "--listen", "0.0.0.0:0", "--data", &data];
    assert_one_line(&open, &["0.0.0.0:0", "--insecure"]).await;
    assert!(!Path::new(&data).exists(), "nothing half done");
    // An address for documentation, which nobody has: nothing is sent there.
    let there = ["server", "--coordinator", "192.0.2.1:7400"];
    assert_one_line(&there, &["192.0.2.1:7400", "--insecure"]).await;
    let there = ["status", "--coordinator", "192.0.2.1:7400"];
    assert_one_line(&there, &["192.0.2.1:7400", "--tls-cert", "--insecure"]).await;

    let mut told = Command::new(binary())
        .args([
            "coordinator",
            "--listen",
            "0.0.0.0:0",
            "--insecure",
            "--data",
            &data,
        ])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = vec![0; 28];
    let mut stdout = told.stdout.take().unwrap();
    let said = timeout(PATIENCE, stdout.read_exact(&mut line)).await;
    said.expect("it says that it listens").unwrap();
    assert_eq!(line, b"fusion coordinator listening");
    told.kill().await.unwrap();
}

#[tokio::test]
async fn files_that_do_not_do_are_named_in_one_line() {
    let papers = Papers::new();
    let good = papers.issue("good", &["127.0.0.1"], DAY);
    let expired = papers.issue("expired", &["127.0.0.1"], Duration::ZERO);
    wait_until("the certificate to expire", async || {
        match Tls::load(&expired) {
            Err(TlsError::Expired { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let forged = papers.forged("forged");
    let garbage = papers.path("garbage");
    fs::write(&garbage, b"\x00\xff-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
    let missing = papers.path("missing");
    let with = |change: fn(&mut TlsFiles, &Path), to: &Path| {
        let mut files = good.clone();
        change(&mut files, to);
        files
    };
    let cert = |f: &mut TlsFiles, to: &Path| f.certificate = to.to_owned();
    let key = |f: &mut TlsFiles, to: &Path| f.key = to.to_owned();
    let ca = |f: &mut TlsFiles, to: &Path| f.authority = to.to_owned();
    let cases = [
        (with(cert, &missing), "cannot read", &missing),
        (with(key, &missing), "cannot read", &missing),
        (with(ca, &missing), "cannot read", &missing),
        (with(cert, &garbage), "holds no certificate", &garbage),
        (with(key, &garbage), "holds no private key", &garbage),
        (with(ca, &garbage), "holds no certificate", &garbage),
        (with(key, &forged.key), "does not belong", &forged.key),
        (with(ca, &expired.key), "holds no certificate", &expired.key),
        (expired.clone(), "has expired", &expired.certificate),
        (
            with(cert, &forged.certificate),
            "was not issued by",
            &forged.certificate,
        ),
    ];
    for (files, says, names) in cases {
        let [cert, key, ca] =
            [files.certificate, files.key, files.authority].map(|p| p.display().to_string());
        let args = [
            "status",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--tls-ca",
            &ca,
        ];
        assert_one_line(&args, &[says, &names.display().to_string()]).await;
    }
    let some = good.certificate.display().to_string();
    assert_one_line(&["status", "--tls-cert", &some], &["--tls-key"]).await;
    let foreign = papers.issue("foreign", &["db.example.com"], DAY);
    let [cert, key, ca] =
        [foreign.certificate, foreign.key, foreign.authority].map(|p| p.display().to_string());
    let args = [
        "server",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--tls-ca",
        &ca,
    ];
    let args = [&args[..], &["--coordinator", "127.0.0.1:1"]].concat();
    let output = fusion(&args).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("is not for 127.0.0.1"), "{stderr}");
}

#[tokio::test]
async fn the_command_makes_certificates_that_work_and_overwrites_none() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, server) = (path("ca"), path("server"));
    let make = ["certificate", "authority", "--out", &ca];
    assert!(fusion(&make).await.status.success());
    assert_one_line(&make, &["ca.key is there already", "--overwrite"]).await;
    let issue = ["certificate", "issue", "--authority", &ca, "--name"];
    let named = [&issue[..], &["127.0.0.1,localhost", "--out", &server]].concat();
    assert!(fusion(&named).await.status.success());
    assert_one_line(&named, &["key.pem is there already"]).await;
    assert!(
        fusion(&[&named[..], &["--overwrite"]].concat())
            .await
            .status
            .success()
    );
    let mode = |name: String| fs::metadata(name).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(format!("{ca}/ca.key")), 0o600);
    assert_eq!(mode(format!("{server}/key.pem")), 0o600);
    assert_eq!(mode(format!("{server}/cert.pem")), 0o644);
    let nowhere = path("bad");
    let bad = [&issue[..], &["no host", "--out", &nowhere]].concat();
    assert_one_line(&bad, &["no host"]).await;
    assert!(!folder.path().join("bad").exists(), "nothing half done");
    let none = [
        "certificate",
        "issue",
        "--authority",
        &server,
        "--name",
        "x",
    ];
    assert_one_line(
        &[&none[..], &["--out", &path("none")]].concat(),
        &["ca.key"],
    )
    .await;

    let mut options = options();
    options.tls = Some(TlsFiles {
        certificate: format!("{server}/cert.pem").into(),
        key: format!("{server}/key.pem").into(),
        authority: format!("{server}/ca.pem").into(),
    });
    let rig = start_with(options, 2).await;
    let raw = rig.create("c", Kind::Queue, 1, 1).await.remove(0);
    raw.call(Op::Enqueue {
        value: "job".into(),
    })
    .await
    .unwrap();
    rig.stop().await;
}

#[test]
fn a_key_of_another_certificate_is_told_apart_in_the_library_too() {
    let papers = Papers::new();
    let one = papers.issue("one", &["127.0.0.1"], DAY);
    let two = papers.issue("two", &["127.0.0.1"], DAY);
    let mixed = TlsFiles {
        key: two.key.clone(),
        ..one
    };
    let error = Tls::load(&mixed).unwrap_err();
    assert!(matches!(error, TlsError::OtherKey { key, .. } if key == two.key));
}

#[tokio::test]
async fn a_client_without_tls_learns_that_the_coordinator_wants_it() {
    let papers = Papers::new();
    let rig = secure_rig(&papers, 0).await;
    let error = Client::connect(rig.coordinator()).await.unwrap_err();
    let Error::NoCoordinator { tried } = &error else {
        panic!("{error:?}");
    };
    let wants = |why: &Attempt| matches!(why, Attempt::NotReached(e) if matches!(**e, ConnectError::Reach(ReachError::TlsThere)));
    let reason = tried.iter().any(|(_, why)| wants(why));
    assert!(reason, "{error:?}");
    assert_one_line(
        &["status", "--coordinator", rig.coordinator()],
        &["TLS only", "--tls-cert"],
    )
    .await;
    rig.stop().await;
}
