//! The store in etcd, as the active coordinator uses it: each change is one transaction, and only while the key by
//! which this coordinator was elected is still there. So a deposed one changes nothing, whatever it believes.

use super::engine::{Engine, MAX_VALUE, SMALL_PAGE};
use crate::coordinator::store::{decode, encode, no_ids_left};
use crate::coordinator::{ConfigStore, StoreContents, StoreError, Swapped, Term};
use crate::service::Registration;
use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp};
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, Epoch, ServerId};
use std::collections::BTreeMap;
use std::sync::Arc;

const FORMAT: &str = "3";
/// How often a transaction is tried when something else changed between reading and writing.
const ATTEMPTS: usize = 16;
/// How many keys go in one transaction; etcd takes 128 conditions and 128 operations.
const BATCH: usize = 100;

/// The key by which a coordinator was elected.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    pub(super) key: String,
    /// The revision at which it was made: a key of the same name made later is another one.
    pub(super) revision: i64,
}

pub(super) struct EtcdStore {
    pub(super) engine: Arc<Engine>,
    pub(super) leadership: Leadership,
    pub(super) term: Term,
    pub(super) name: String,
}

/// What came of one transaction.
enum Changed {
    Done,
    /// Something that it depends on is not as it was read.
    Conflict,
}

fn unchanged(key: &str, stored: Option<&KeyValue>) -> Compare {
    // A key that is not there counts as changed at revision 0.
    let revision = stored.map_or(0, KeyValue::mod_revision);
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

fn number(stored: &KeyValue, what: &'static str) -> Result<u64, StoreError> {
    let text = stored.value_str().ok().and_then(|text| text.parse().ok());
    text.ok_or(StoreError::Unreadable { what })
}

fn fitting(what: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match bytes.len() {
        len if len > MAX_VALUE => Err(StoreError::TooLarge {
            what,
            bytes: len,
            max: MAX_VALUE,
        }),
        _ => Ok(bytes),
    }
}

impl EtcdStore {
    fn in_office(&self) -> Result<(), StoreError> {
        if self.term.is_over() {
            return Err(StoreError::Deposed);
        }
        Ok(())
    }

    /// Changes something if `condition` holds and this coordinator is still the active one.
    async fn change(
        &self,
        condition: Vec<Compare>,
        change: Vec<TxnOp>,
    ) -> Result<Changed, StoreError> {
        self.in_office()?;
        let Leadership { key, revision } = &self.leadership;
        let mut conditions = condition;
        conditions.push(Compare::create_revision(
            key.as_str(),
            CompareOp::Equal,
            *revision,
        ));
        let txn = Txn::new().when(conditions).and_then(change);
        let answer = self.engine.transact(txn).await?;
        if answer.value.succeeded() {
            return Ok(Changed::Done);
        }
        // A member that did not answer may have executed it while the key was there.
        let repeated = answer.repeated;
        let leads = self.engine.get(key).await.map_err(|error| match repeated {
            true => StoreError::Unknown(error.to_string()),
            false => error,
        })?;
        if leads.is_some_and(|kv| kv.create_revision() == *revision) {
            return Ok(Changed::Conflict);
        }
        self.term.end();
        if repeated {
            return Err(StoreError::Unknown(
                "this coordinator lost its place while a change was under way".to_owned(),
            ));
        }
        Err(StoreError::Deposed)
    }

    /// Makes the keys below `prefix` say what they should: stores from before these keys were written have none.
    async fn fill_in(
        &self,
        prefix: &str,
        mut wanted: BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let (stored, _) = self.engine.list_by(prefix, SMALL_PAGE).await?;
        let mut changes = Vec::new();
        for kv in &stored {
            let key = String::from_utf8_lossy(kv.key()).into_owned();
            let is = kv.value_str().ok().and_then(|text| text.parse().ok());
            let should = wanted.remove(&key);
            if should.is_some() && should == is {
                continue;
            }
            let change = match should {
                Some(id) => TxnOp::put(key.as_str(), id.to_string(), None),
                None => TxnOp::delete(key.as_str(), None),
            };
            changes.push((unchanged(&key, Some(kv)), change));
        }
        for (key, id) in wanted {
            let put = TxnOp::put(key.as_str(), id.to_string(), None);
            changes.push((unchanged(&key, None), put));
        }
        while !changes.is_empty() {
            let batch = changes.drain(..changes.len().min(BATCH));
            let (conditions, batch) = batch.unzip();
            if let Changed::Conflict = self.change(conditions, batch).await? {
                return Err(too_busy());
            }
        }
        Ok(())
    }

    /// Makes the store if it is not there: once, whoever comes first.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let prefix = &self.engine.prefix;
        let (format, store) = (prefix.format(), prefix.store());
        for _ in 0..ATTEMPTS {
            match self.engine.get(&format).await? {
                Some(stored) if stored.value() == FORMAT.as_bytes() => return Ok(()),
                Some(_) => return Err(StoreError::Unreadable { what: "a format" }),
                None => {}
            }
            let id: u64 = rand::random();
            let conditions = vec![unchanged(&format, None), unchanged(&store, None)];
            let change = vec![
                TxnOp::put(format.as_str(), FORMAT, None),
                TxnOp::put(store.as_str(), id.to_string(), None),
            ];
            self.change(conditions, change).await?;
        }
        Err(StoreError::Unreadable {
            what: "half a store",
        })
    }
}

#[async_trait]
impl ConfigStore for EtcdStore {
    fn describe(&self) -> String {
        self.name.clone()
    }

    async fn load(&self) -> Result<StoreContents, StoreError> {
        let prefix = &self.engine.prefix;
        let store = self.engine.get(&prefix.store()).await?;
        let store = store.ok_or(StoreError::Unreadable { what: "no id" })?;
        let (configs, _) = self.engine.list(&prefix.configurations()).await?;
        let configs = configs
            .iter()
            .map(|kv| decode(kv.value(), "a configuration").map(Arc::new));
        let (servers, _) = self.engine.list(&prefix.servers()).await?;
        let servers = servers.iter().map(|kv| {
            let id = kv.key_str().ok().and_then(|key| key.rsplit_once('/'));
            let id = id.and_then(|(_, id)| id.parse().ok());
            let id = ServerId(id.ok_or(StoreError::Unreadable { what: "a server" })?);
            Ok((id, decode(kv.value(), "a server")?))
        });
        let next_server = match self.engine.get(&prefix.next_server()).await? {
            Some(kv) => number(&kv, "the next server's id")?,
            None => 1,
        };
        let mut servers: Vec<(ServerId, Registration)> =
            servers.collect::<Result<_, StoreError>>()?;
        servers.sort_by_key(|(id, _)| *id);
        let mut configs: Vec<Arc<Configuration>> = configs.collect::<Result<_, StoreError>>()?;
        configs.sort_by_key(|c| c.cluster);
        let mut names = BTreeMap::new();
        for config in configs.iter().filter(|c| !c.removed) {
            let name = names.entry(prefix.name(&config.name));
            let first = *name.or_insert(config.cluster.0);
            if first != config.cluster.0 {
                tracing::error!(name = %config.name, cluster = %config.cluster, %first,
                    "two clusters have one name; the first is the one that answers to it");
            }
        }
        self.fill_in(&prefix.names(), names).await?;
        let incarnations = servers.iter();
        let incarnations = incarnations.map(|(id, s)| (prefix.incarnation(s.incarnation), id.0));
        self.fill_in(&prefix.incarnations(), incarnations.collect())
            .await?;
        Ok(StoreContents {
            store: number(&store, "an id")?,
            configs,
            servers,
            next_server: ServerId(next_server),
        })
    }

    async fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError> {
        let stored = self
            .engine
            .get(&self.engine.prefix.configuration(cluster))
            .await?;
        stored
            .map(|kv| decode(kv.value(), "a configuration"))
            .transpose()
    }

    async fn compare_and_swap(&self, next: &Configuration) -> Result<Swapped, StoreError> {
        let bytes = fitting("a configuration", encode(next)?)?;
        let prefix = &self.engine.prefix;
        let key = prefix.configuration(next.cluster);
        self.in_office()?;
        for _ in 0..ATTEMPTS {
            let stored = self.engine.get(&key).await?;
            if stored.as_ref().is_some_and(|kv| kv.value() == bytes) {
                return Ok(Swapped::Stored);
            }
            let found: Option<Configuration> = stored
                .as_ref()
                .map(|kv| decode(kv.value(), "a configuration"))
                .transpose()?;
            if found.as_ref().map_or(Epoch(0), |c| c.epoch).next() != next.epoch {
                return Ok(Swapped::Found(found.map(Box::new)));
            }
            let mut conditions = vec![unchanged(&key, stored.as_ref())];
            let mut change = vec![TxnOp::put(key.as_str(), bytes.clone(), None)];
            let name = prefix.name(&next.name);
            if stored.is_none() {
                if let Some(taken) = self.engine.get(&name).await? {
                    return Ok(Swapped::NameTaken(ClusterId(number(&taken, "a name")?)));
                }
                // A copy of this transaction that comes late finds another one created since, and so does nothing, even
                // if the cluster was removed and forgotten meanwhile.
                let created = prefix.created();
                let last = self.engine.get(&created).await?;
                conditions.push(unchanged(&name, None));
                conditions.push(unchanged(&created, last.as_ref()));
                let id = next.cluster.0.to_string();
                change.push(TxnOp::put(name.as_str(), id.clone(), None));
                change.push(TxnOp::put(created, id, None));
            } else if next.removed {
                let named = self.engine.get(&name).await?;
                let id = next.cluster.0.to_string();
                if named.as_ref().is_some_and(|kv| kv.value() == id.as_bytes()) {
                    conditions.push(unchanged(&name, named.as_ref()));
                    change.push(TxnOp::delete(name.as_str(), None));
                }
            }
            if let Changed::Done = self.change(conditions, change).await? {
                return Ok(Swapped::Stored);
            }
        }
        Err(too_busy())
    }

    async fn forget_clusters(&self, ids: &[ClusterId]) -> Result<(), StoreError> {
        for batch in ids.chunks(BATCH) {
            let (mut conditions, mut change) = (Vec::new(), Vec::new());
            for &id in batch {
                let key = self.engine.prefix.configuration(id);
                let Some(stored) = self.engine.get(&key).await? else {
                    continue;
                };
                let config: Configuration = decode(stored.value(), "a configuration")?;
                if config.removed {
                    conditions.push(unchanged(&key, Some(&stored)));
                    change.push(TxnOp::delete(key, None));
                }
            }
            if let Changed::Conflict = self.change(conditions, change).await? {
                return Err(too_busy());
            }
        }
        Ok(())
    }

    async fn add_server(&self, registration: &Registration) -> Result<ServerId, StoreError> {
        let bytes = fitting("a registration", encode(registration)?)?;
        let prefix = &self.engine.prefix;
        let next = prefix.next_server();
        let incarnation = prefix.incarnation(registration.incarnation);
        self.in_office()?;
        for _ in 0..ATTEMPTS {
            // An earlier call, or an earlier copy of this one's transaction, may have come through unheard of.
            if let Some(known) = self.engine.get(&incarnation).await? {
                return Ok(ServerId(number(&known, "a server's id")?));
            }
            let stored = self.engine.get(&next).await?;
            let id = match &stored {
                Some(kv) => number(kv, "the next server's id")?,
                None => 1,
            };
            let after = id.checked_add(1).ok_or_else(no_ids_left)?;
            let put = vec![
                TxnOp::put(next.as_str(), after.to_string(), None),
                TxnOp::put(prefix.server(ServerId(id)), bytes.clone(), None),
                TxnOp::put(incarnation.as_str(), id.to_string(), None),
            ];
            let condition = vec![
                unchanged(&next, stored.as_ref()),
                unchanged(&incarnation, None),
            ];
            if let Changed::Done = self.change(condition, put).await? {
                return Ok(ServerId(id));
            }
        }
        Err(too_busy())
    }

    async fn put_server(
        &self,
        id: ServerId,
        registration: &Registration,
    ) -> Result<(), StoreError> {
        let bytes = fitting("a registration", encode(registration)?)?;
        let key = self.engine.prefix.server(id);
        for _ in 0..ATTEMPTS {
            let stored = self.engine.get(&key).await?;
            if stored.as_ref().is_some_and(|kv| kv.value() == bytes) {
                return Ok(());
            }
            // So that a copy that comes late does not undo what was put since.
            let condition = vec![unchanged(&key, stored.as_ref())];
            let put = TxnOp::put(key.as_str(), bytes.clone(), None);
            if let Changed::Done = self.change(condition, vec![put]).await? {
                return Ok(());
            }
        }
        Err(too_busy())
    }

    async fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError> {
        // Two keys each. When some are forgotten, and then something fails, the term must not go on with all of them.
        let mut some_are_gone = false;
        let half_done = |some_are_gone: bool, error: StoreError| match some_are_gone {
            true => StoreError::Unknown(error.to_string()),
            false => error,
        };
        for batch in ids.chunks(BATCH / 2) {
            let (mut conditions, mut change) = (Vec::new(), Vec::new());
            for &id in batch {
                let key = self.engine.prefix.server(id);
                let stored = self.engine.get(&key).await;
                let Some(stored) = stored.map_err(|e| half_done(some_are_gone, e))? else {
                    continue;
                };
                let known = decode(stored.value(), "a server");
                let known: Registration = known.map_err(|e| half_done(some_are_gone, e))?;
                let incarnation = self.engine.prefix.incarnation(known.incarnation);
                conditions.push(unchanged(&key, Some(&stored)));
                change.push(TxnOp::delete(key, None));
                change.push(TxnOp::delete(incarnation, None));
            }
            let changed = self.change(conditions, change).await;
            match changed.map_err(|e| half_done(some_are_gone, e))? {
                Changed::Done => some_are_gone = true,
                Changed::Conflict => return Err(half_done(some_are_gone, too_busy())),
            }
        }
        Ok(())
    }
}

fn too_busy() -> StoreError {
    StoreError::Failed(format!(
        "something else changes the same keys in etcd: {ATTEMPTS} transactions failed"
    ))
}
