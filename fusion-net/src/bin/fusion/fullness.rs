//! What `fusion status` says of the memory of servers (PROTOCOL rule 70).

use crate::table::bytes;
use fusion_core::memory::MemoryUse;
use fusion_net::service::ServerStatus;

/// What a server takes of the memory that it may take.
pub(crate) fn memory(server: &ServerStatus) -> String {
    let text = |m: MemoryUse| format!("{} of {}", bytes(m.used), bytes(m.limit));
    server.memory.map_or_else(|| "-".to_owned(), text)
}

/// What is to be done about a server whose memory is nearly full, or full (PROTOCOL rule 70).
pub(crate) fn memory_warning(server: &ServerStatus) -> Option<String> {
    let memory = server.memory.filter(|_| server.alive)?;
    let (at, id) = (&server.address, server.id);
    let room = bytes(memory.for_writes());
    match memory.percent() {
        100.. => Some(format!(
            "server {id} at {at} is full: writes to its members are refused, removals are not; remove entries, or give it more \
             than {} with --memory-limit",
            bytes(memory.limit)
        )),
        percent @ 80.. => {
            let mark = if percent < 90 { 80 } else { 90 };
            Some(format!(
                "server {id} at {at} has filled more than {mark} % of the {room} that writes may take; when it is full they \
                 are refused"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::id::ServerId;
    use fusion_net::labels::Labels;

    fn server(used: Option<u64>) -> ServerStatus {
        ServerStatus {
            id: ServerId(3),
            pid: 1,
            address: "a:1".to_owned(),
            alive: true,
            members: 1,
            draining: false,
            host: String::new(),
            zone: None,
            labels: Labels::default(),
            heard_ms_ago: Some(0),
            memory: used.map(|used| MemoryUse {
                used,
                limit: 1250,
                reserve: 250,
            }),
        }
    }

    #[test]
    fn a_server_is_warned_of_at_80_and_at_90_percent_and_when_it_is_full() {
        let warning = |used| memory_warning(&server(Some(used)));
        assert_eq!((warning(799), memory_warning(&server(None))), (None, None));
        for (used, said) in [(800, "80 %"), (899, "80 %"), (900, "90 %"), (1000, "full")] {
            let text = warning(used).unwrap();
            assert!(text.contains(said) && text.contains("server 3"), "{text}");
        }
        let dead = ServerStatus {
            alive: false,
            ..server(Some(1000))
        };
        assert_eq!(memory_warning(&dead), None);
        assert_eq!(memory(&server(None)), "-");
    }
}
