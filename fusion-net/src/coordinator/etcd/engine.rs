//! Calls to an etcd of several members: each has a bound, and goes on with the next member when one does not answer.

use super::keys::Prefix;
use crate::coordinator::StoreError;
use etcd_client::{
    Client, ConnectOptions, Error, GetOptions, GetResponse, KeyValue, SortOrder, SortTarget, Txn,
    TxnResponse, WatchOptions,
};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// How long one member may take.
const TRY: Duration = Duration::from_secs(1);
/// How long a call may take, all members together.
const CALL: Duration = Duration::from_secs(5);
/// The longest value that is written: etcd refuses requests of more than 1.5 MiB, and other things are in them.
pub(super) const MAX_VALUE: usize = 1 << 20;
/// How many values are read at once, so that an answer stays within bounds.
const PAGE: i64 = 16;
/// How many small ones.
pub(super) const SMALL_PAGE: i64 = 1024;
const MAX_ANSWER: usize = (PAGE as usize + 1) * MAX_VALUE * 2;
const MAX_ENDPOINTS: usize = 16;

/// Where the members of an etcd answer clients: `http://HOST:PORT`, with commas between several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints(Vec<String>);

/// Why a text names no etcd.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointsError {
    /// One of the addresses is none.
    #[error(
        "{text:?} is no address of etcd; give http://HOST:PORT as in http://127.0.0.1:2379, or several with commas between them"
    )]
    NoUrl {
        /// The part of the text.
        text: String,
    },
    /// TLS is asked for.
    #[error(
        "{text}: connections to etcd over TLS are not there yet; use http:// within a network that you trust"
    )]
    Tls {
        /// The address.
        text: String,
    },
    /// There are too many, or one stands there twice.
    #[error("give 1 to {MAX_ENDPOINTS} different addresses of etcd, not {count}")]
    Count {
        /// How many different ones there are.
        count: usize,
    },
}

impl FromStr for Endpoints {
    type Err = EndpointsError;

    fn from_str(text: &str) -> Result<Endpoints, EndpointsError> {
        let mut urls: Vec<String> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let wrong = || EndpointsError::NoUrl {
                text: part.to_owned(),
            };
            if part.starts_with("https://") {
                return Err(EndpointsError::Tls {
                    text: part.to_owned(),
                });
            }
            let host = part.strip_prefix("http://").ok_or_else(wrong)?;
            let host =
                crate::addresses::address(host.trim_end_matches('/')).map_err(|_| wrong())?;
            let url = format!("http://{host}");
            if urls.contains(&url) {
                return Err(EndpointsError::Count { count: urls.len() });
            }
            urls.push(url);
        }
        match urls.len() {
            count if count > MAX_ENDPOINTS => Err(EndpointsError::Count { count }),
            _ => Ok(Endpoints(urls)),
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Why one member was of no use.
enum Failure {
    /// Another one may be.
    Next(String),
    /// Every other one would say the same.
    Final(String),
    /// The lease is over.
    NoLease,
}

fn failure(error: Error) -> Failure {
    use tonic_code::{
        FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
        UNAUTHENTICATED,
    };
    match &error {
        // Says so only when etcd answered that the lease is not there.
        Error::LeaseKeepAliveError(_) => Failure::NoLease,
        Error::GRpcStatus(status) => match status.code() as i32 {
            NOT_FOUND if status.message().contains("lease") => Failure::NoLease,
            INVALID_ARGUMENT | NOT_FOUND | PERMISSION_DENIED | RESOURCE_EXHAUSTED
            | FAILED_PRECONDITION | UNAUTHENTICATED => Failure::Final(status.message().to_owned()),
            _ => Failure::Next(status.message().to_owned()),
        },
        error => Failure::Next(error.to_string()),
    }
}

/// The gRPC status codes that no other member would change.
mod tonic_code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// What came of a call.
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// A member that did not answer may have executed it, too, and before.
    pub(super) repeated: bool,
}

/// The members of an etcd, one connection each.
pub(super) struct Engine {
    members: Vec<(String, Client)>,
    /// Which one answered last.
    at: AtomicUsize,
    pub(super) prefix: Prefix,
}

impl Engine {
    pub(super) async fn new(endpoints: &Endpoints, prefix: Prefix) -> Result<Engine, StoreError> {
        let mut members = Vec::new();
        for url in &endpoints.0 {
            let options = ConnectOptions::new()
                .with_connect_timeout(TRY)
                .with_keep_alive(TRY, TRY)
                .with_require_leader(true);
            // Connects when it is first used.
            let client = Client::connect([url], Some(options)).await;
            let client = client.map_err(|e| StoreError::Failed(format!("{url}: {e}")))?;
            members.push((url.clone(), client));
        }
        Ok(Engine {
            members,
            at: AtomicUsize::new(0),
            prefix,
        })
    }

    /// Asks one member after the other, beginning with the one that answered last.
    async fn ask<T, F>(&self, call: impl Fn(Client) -> F) -> Result<Answer<T>, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let first = self.at.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let all = async {
            for i in 0..self.members.len() {
                let at = (first + i) % self.members.len();
                let (url, client) = &self.members[at];
                let failed = match timeout(TRY, call(client.clone())).await {
                    Ok(Ok(value)) => {
                        self.at.store(at, Ordering::Relaxed);
                        let repeated = i > 0;
                        return Ok(Answer { value, repeated });
                    }
                    Ok(Err(error)) => match failure(error) {
                        Failure::NoLease => return Err(StoreError::Deposed),
                        Failure::Final(what) => {
                            return Err(StoreError::Failed(format!("etcd at {url}: {what}")));
                        }
                        Failure::Next(what) => what,
                    },
                    Err(_) => format!("no answer within {TRY:?}"),
                };
                // The next call need not wait for this one again.
                self.at
                    .store((at + 1) % self.members.len(), Ordering::Relaxed);
                tried.push(format!("{url}: {failed}"));
            }
            Err(StoreError::Unreachable {
                tried: String::new(),
            })
        };
        match timeout(CALL, all).await {
            Ok(Err(StoreError::Unreachable { .. })) | Err(_) => Err(StoreError::Unreachable {
                tried: tried.join("; "),
            }),
            Ok(done) => done,
        }
    }

    /// The value of a key, with the revision of its last change.
    pub(super) async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        let answer = self.ask(|mut c| async move { c.get(key, None).await });
        Ok(answer.await?.value.take_kvs().pop())
    }

    /// All keys that begin with `prefix`, in the order in which they were created, and the revision at which this was so.
    pub(super) async fn list(&self, prefix: &str) -> Result<(Vec<KeyValue>, i64), StoreError> {
        self.list_by(prefix, PAGE).await
    }

    /// As [`list`](Self::list), so many at once.
    pub(super) async fn list_by(
        &self,
        prefix: &str,
        limit: i64,
    ) -> Result<(Vec<KeyValue>, i64), StoreError> {
        let (mut found, mut revision) = (Vec::<KeyValue>::new(), 0);
        loop {
            let from: Option<i64> = found.last().map(KeyValue::create_revision);
            // One transaction makes many keys: the last page may have ended among them, and they are read again.
            let known = found.iter().rev();
            let known = known.take_while(|kv| Some(kv.create_revision()) == from);
            let known: BTreeSet<Vec<u8>> = known.map(|kv| kv.key().to_vec()).collect();
            let limit = limit + known.len() as i64;
            let mut page = self.page(prefix, from, revision, limit).await?;
            revision = page.header().map_or(0, |h| h.revision()).max(revision);
            let more = page.more();
            let new = page.take_kvs().into_iter();
            found.extend(new.filter(|kv| !known.contains(kv.key())));
            if !more {
                return Ok((found, revision));
            }
        }
    }

    async fn page(
        &self,
        prefix: &str,
        from: Option<i64>,
        revision: i64,
        limit: i64,
    ) -> Result<GetResponse, StoreError> {
        let answer = self.ask(|c| async move {
            let mut options = GetOptions::new()
                .with_prefix()
                .with_sort(SortTarget::Create, SortOrder::Ascend)
                .with_limit(limit);
            if let Some(from) = from {
                // All pages are of one moment.
                options = options
                    .with_min_create_revision(from)
                    .with_revision(revision);
            }
            c.kv_client()
                .max_decoding_message_size(MAX_ANSWER)
                .get(prefix, Some(options))
                .await
        });
        Ok(answer.await?.value)
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when a member that was asked may have made it.
    pub(super) async fn transact(&self, txn: Txn) -> Result<Answer<TxnResponse>, StoreError> {
        let asked = AtomicUsize::new(0);
        let answer = self.ask(|mut c| {
            asked.fetch_add(1, Ordering::Relaxed);
            let txn = txn.clone();
            async move { c.txn(txn).await }
        });
        answer.await.map_err(|error| match error {
            // The only member that was asked has refused it.
            StoreError::Failed(_) | StoreError::Deposed if asked.load(Ordering::Relaxed) == 1 => {
                error
            }
            error => StoreError::Unknown(error.to_string()),
        })
    }

    /// A new lease.
    pub(super) async fn grant(&self, ttl: Duration) -> Result<i64, StoreError> {
        let seconds = ttl.as_secs() as i64;
        let answer = self.ask(|mut c| async move { c.lease_grant(seconds, None).await });
        Ok(answer.await?.value.id())
    }

    /// Prolongs a lease; [`StoreError::Deposed`] when it is over.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<(), StoreError> {
        // The first message of the stream is the answer.
        let kept = self.ask(|mut c| async move { c.lease_keep_alive(lease).await.map(|_| ()) });
        kept.await.map(|answer| answer.value)
    }

    /// Ends a lease, and its keys with it.
    pub(super) async fn revoke(&self, lease: i64) -> Result<(), StoreError> {
        let revoked = self.ask(|mut c| async move { c.lease_revoke(lease).await.map(|_| ()) });
        match revoked.await {
            Ok(_) | Err(StoreError::Deposed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until something below `prefix` changes after `revision`, or `limit` is over, or the member that watches
    /// fails: then look.
    pub(super) async fn wait_change(&self, prefix: &str, revision: i64, limit: Duration) {
        let at = self.at.load(Ordering::Relaxed) % self.members.len();
        let mut client = self.members[at].1.clone();
        let change = async {
            let options = WatchOptions::new()
                .with_prefix()
                .with_start_revision(revision + 1);
            let Ok(mut watch) = client.watch(prefix, Some(options)).await else {
                return std::future::pending().await;
            };
            while let Ok(Some(told)) = watch.message().await {
                if !told.events().is_empty() {
                    return;
                }
            }
            // No busy loop on a member that refuses.
            std::future::pending().await
        };
        let _ = timeout(limit, change).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_without_tls() {
        let sound: Endpoints = "http://a:2379, http://b:2379/".parse().unwrap();
        assert_eq!(sound.to_string(), "http://a:2379,http://b:2379");
        for text in [
            "",
            "a:2379",
            "http://",
            "http://a",
            "http://a:2379/path",
            "ftp://a:1",
        ] {
            assert!(
                matches!(text.parse::<Endpoints>(), Err(EndpointsError::NoUrl { .. })),
                "{text}"
            );
        }
        let tls = "https://a:2379".parse::<Endpoints>();
        assert!(matches!(tls, Err(EndpointsError::Tls { .. })));
        let twice = "http://a:1,http://a:1/".parse::<Endpoints>();
        assert_eq!(twice, Err(EndpointsError::Count { count: 1 }));
    }
}
