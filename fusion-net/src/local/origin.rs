//! Who made a connection: the kernel's tables name the socket, and a process's open files name it as well. Linux only;
//! elsewhere nobody is found.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Which of these processes holds the far end of a connection on this machine; `None` when it is gone, or none of them.
pub(super) fn process_of(pids: &[u32], far: SocketAddr, near: SocketAddr) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = format!("socket:[{}]", inode(&table, far, near)?);
    pids.iter().copied().find(|pid| holds(*pid, &socket))
}

fn holds(pid: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let mut targets = files.flatten().map(|file| fs::read_link(file.path()));
    targets.any(|target| target.is_ok_and(|target| target.as_os_str() == socket))
}

/// The inode of the socket at `local` that is connected to `remote`.
fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (hexadecimal(local)?, hexadecimal(remote)?);
    let mut found = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let fits = fields.nth(1)? == local && fields.next()? == remote;
        fits.then(|| fields.nth(6)?.parse().ok())?
    });
    found.next()
}

/// As the kernel writes it: the address as a number of this machine's byte order, then the port.
fn hexadecimal(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    let number = u32::from_ne_bytes(ip.octets());
    Some(format!("{number:08X}:{:04X}", address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_process_at_the_other_end_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = listener.local_addr().unwrap();
        let stream = TcpStream::connect(near).unwrap();
        let far = listener.accept().unwrap().1;
        let me = std::process::id();
        assert_eq!(process_of(&[1, me], far, near), Some(me));
        assert_eq!(process_of(&[], far, near), None);
        drop(stream);
        assert_eq!(
            process_of(&[me], near, "127.0.0.1:1".parse().unwrap()),
            None
        );
    }
}
