//! `fusion cluster accept-loss`: what a loss costs, and going on with it (PROTOCOL rules 37, 62).

use crate::output::say;
use fusion_core::id::PrimaryIndex;
use fusion_core::membership::{Acceptance, Foreseen, Placed};
use fusion_net::client::Client;
use std::fmt::Write as _;

/// Says what it would cost, or goes on when the operator names what is lost.
pub(crate) async fn run(
    client: &Client,
    name: &str,
    acceptance: &Acceptance,
) -> anyhow::Result<()> {
    if acceptance.lose.is_empty() {
        let foreseen = client.foresee_loss(name).await?;
        say!("{}", forecast(name, &foreseen).trim_end())?;
        return Ok(());
    }
    let lost = client.accept_loss(name, acceptance).await?;
    say!("begun empty: primaries {} of {name}", indices(&lost, ", "))?;
    Ok(())
}

fn indices(of: &[PrimaryIndex], separator: &str) -> String {
    let indices: Vec<String> = of.iter().map(|j| j.0.to_string()).collect();
    indices.join(separator)
}

fn list(text: &mut String, title: &str, members: &[Placed]) {
    if members.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for member in members {
        let (server, address) = (member.host.server, &member.host.address);
        let _ = writeln!(text, "  {} on server {server}, {address}", member.part);
    }
}

/// What it costs, and the command that takes it.
fn forecast(name: &str, foreseen: &Foreseen) -> String {
    let mut text = format!(
        "nothing was changed. To go on, primaries {} of {name} begin empty, and all codes are made again\n",
        indices(&foreseen.lost, ", ")
    );
    let gone = "not heard of; start or resume one of their processes instead, if one is only stopped or cut off:";
    list(&mut text, gone, &foreseen.gone);
    list(&mut text, "living, and wiped:", &foreseen.wiped);
    if !foreseen.may_still_read.is_empty() {
        let read = indices(&foreseen.may_still_read, ", ");
        let _ = writeln!(
            text,
            "primaries {read} may still answer reads: make sure that their processes are dead"
        );
    }
    let _ = write!(text, "the command that goes on, for good:\n  ");
    let lose = indices(&foreseen.lost, ",");
    let _ = write!(text, "fusion cluster accept-loss {name} --lose {lose}");
    let servers = foreseen.wiped_servers();
    if !servers.is_empty() {
        let servers: Vec<String> = servers.iter().map(|s| s.0.to_string()).collect();
        let _ = write!(text, " --wipe {}", servers.join(","));
    }
    if !foreseen.may_still_read.is_empty() {
        let _ = write!(text, " --processes-are-dead");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::config::Host;
    use fusion_core::id::{MemberId, Row, ServerId};
    use fusion_core::membership::Part;

    #[test]
    fn a_forecast_names_who_lives_and_would_be_wiped_and_the_command_for_it() {
        let placed = |id, part| Placed {
            id: MemberId(id),
            part,
            host: Host {
                server: ServerId(id),
                address: format!("10.0.0.{id}:7000"),
            },
        };
        let foreseen = Foreseen {
            lost: vec![PrimaryIndex(0), PrimaryIndex(2)],
            gone: vec![placed(1, Part::Primary(PrimaryIndex(0)))],
            wiped: vec![placed(4, Part::Codes(Row(0)))],
            may_still_read: vec![PrimaryIndex(2)],
        };
        let said = forecast("scores", &foreseen);
        assert!(
            said.contains("fused structure 0 on server 4, 10.0.0.4:7000"),
            "{said}"
        );
        let command =
            "fusion cluster accept-loss scores --lose 0,2 --wipe 4 --processes-are-dead\n";
        assert!(said.ends_with(command), "{said}");
    }
}
