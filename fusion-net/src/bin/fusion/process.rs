//! The processes of a deployment: `fusion server` and `fusion coordinator`.

use crate::args::{CoordinatorArgs, ProcessArgs, ServerArgs, StoreArgs};
use crate::logs::Repeats;
use anyhow::Context;
use fusion_core::time::Timing;
use fusion_net::coordinator::{
    self, Alone, CoordinatorOptions, Election, RebuildOptions, RedbStore,
};
use fusion_net::labels::Labels;
use fusion_net::memory::MemoryLimit;
use fusion_net::server::{self, ServerError, ServerOptions};
use fusion_net::transport::Listener;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

pub(crate) async fn server(args: ServerArgs) -> anyhow::Result<ExitCode> {
    log();
    allow_many_files();
    // Before anybody is told that the server is there.
    fusion_core::code::check_engine().map_err(ServerError::from)?;
    let network = args.security.network()?;
    let coordinators = args.coordinator;
    let coordinators = coordinators.context("give --coordinator HOST:PORT")?;
    for coordinator in coordinators.iter() {
        network.check(coordinator)?;
    }
    let listener = network.listen_at(&args.listen).await?;
    let options = ServerOptions {
        coordinators,
        advertise: args.advertise,
        labels: Labels::new(args.label)?,
        streams: !args.no_streams,
        memory: (args.memory_limit.map(MemoryLimit::resident)).or_else(MemoryLimit::of_system),
    };
    ready("server", &listener)?;
    until_told(&args.process, async {
        Ok(server::serve(listener, options).await?)
    })
    .await
}

pub(crate) async fn coordinator(args: CoordinatorArgs) -> anyhow::Result<ExitCode> {
    log();
    allow_many_files();
    if let Some(both) = args.keep.iter().find(|name| args.drop.contains(name)) {
        anyhow::bail!("--keep and --drop both name {both}; give one of them");
    }
    let listener = args.security.network()?.listen_at(&args.listen).await?;
    let options = CoordinatorOptions {
        timing: Timing::for_suspicion(args.suspect_after_ms)?,
        rebuild: args.rebuild.then_some(RebuildOptions {
            servers: args.servers.map(usize::from),
            keep: args.keep,
            drop: args.drop,
        }),
        advertise: args.advertise,
    };
    let election = election(args.store, &listener, &options).await?;
    ready("coordinator", &listener)?;
    let serving = coordinator::serve_elected(listener, Arc::clone(&election), options);
    let done = until_told(&args.process, async { Ok(serving.await?) }).await;
    election.resign().await;
    done
}

/// Opens the store, or takes part in the election of those that share one.
async fn election(
    args: StoreArgs,
    listener: &Listener,
    options: &CoordinatorOptions,
) -> anyhow::Result<Arc<dyn Election>> {
    match (args.data, args.etcd) {
        (Some(path), _) => {
            let store = tokio::task::spawn_blocking(move || RedbStore::open(&path)).await??;
            Ok(Arc::new(Alone::new(Arc::new(store))))
        }
        #[cfg(feature = "etcd")]
        (None, Some(endpoints)) => {
            use fusion_net::coordinator::etcd::{Etcd, EtcdOptions};
            let options = EtcdOptions {
                endpoints: endpoints.parse()?,
                prefix: args.etcd_prefix.parse().map_err(anyhow::Error::msg)?,
                lease: std::time::Duration::from_secs(args.lease_seconds),
                address: coordinator::advertised(listener, options.advertise.as_deref())?,
            };
            Ok(Arc::new(Etcd::new(options).await?))
        }
        #[cfg(not(feature = "etcd"))]
        (None, Some(_)) => {
            let _ = (listener, options, args.etcd_prefix, args.lease_seconds);
            anyhow::bail!(
                "this program was built without etcd; build it with `cargo build --release -p fusion-net --features \
                 etcd`, which needs protoc (apt-get install protobuf-compiler)"
            )
        }
        (None, None) => anyhow::bail!("give --data FILE or --etcd URL"),
    }
}

/// Logs go to standard error; `RUST_LOG` chooses what.
fn log() {
    // tarpc says a line about each frame of a stranger; the transport says what matters, and seldom.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("fusion_net=info,tarpc=off,warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Repeats::new(std::io::stderr))
        .with_ansi(false)
        .try_init();
}

/// Each connection takes a file descriptor, and the usual limit is low for the sake of old programs only.
pub(crate) fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, fewer connections are served at a time.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The one line on standard output: whoever started the process waits for it.
fn ready(what: &str, listener: &Listener) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "fusion {what} listening on {}",
        listener.local_addr()?
    )?;
    stdout.flush()?;
    Ok(())
}

/// Serves until a signal, or until standard input closes if that was asked for.
async fn until_told(
    args: &ProcessArgs,
    serve: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (gone, parent_gone) = tokio::sync::oneshot::channel();
    if args.exit_with_parent {
        // A thread of its own: reading standard input cannot be cancelled.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = gone.send(());
        });
    } else {
        std::mem::forget(gone);
    }
    tokio::select! {
        result = serve => result?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = parent_gone => {}
    }
    Ok(ExitCode::SUCCESS)
}
