//! `fusion bench` runs, checks what it is answered, and leaves nothing behind.

use fusion_tests::cluster::binary;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REDIS: &str = "redis-server";

fn redis_is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(REDIS).is_file())
}

fn rows<'a>(figures: &'a Value, action: &str) -> Vec<&'a Value> {
    let rows = figures["rows"].as_array().expect("rows");
    rows.iter().filter(|row| row["action"] == action).collect()
}

/// Processes that were told of this folder.
fn left_over(folder: &Path) -> usize {
    let name = folder.to_str().expect("a plain name").as_bytes();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines
        .filter(|line| line.windows(name.len()).any(|part| part == name))
        .count()
}

#[test]
fn the_quick_benchmark_measures_every_action_and_every_answer_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut command = Command::new(binary());
    command
        .args(["bench", "--quick", "--values", "8,64", "--keys", "zipf"])
        .arg("--json")
        .arg(file("f.json"))
        .arg("--markdown")
        .arg(file("f.md"))
        .arg("--plot")
        .arg(file("f.svg"));
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{output:?}");
    assert!(said.contains("all answers were right"), "{said}");

    let read = |name: &str| std::fs::read_to_string(file(name)).expect(name);
    let figures: Value = serde_json::from_str(&read("f.json")).unwrap();
    assert_eq!(figures["wrong"], 0);
    let actions = [
        "put",
        "get",
        "mixed",
        "put_new",
        "delete",
        "append",
        "insert_first",
        "remove_first",
        "insert_any",
        "remove_any",
        "enqueue",
        "dequeue",
    ];
    for action in actions {
        let rows = rows(&figures, action);
        let fusion: Vec<_> = rows.iter().filter(|r| r["side"] == "fusion").collect();
        // Two lengths of values, two numbers in flight.
        assert_eq!(fusion.len(), 4, "{action}");
        for row in rows {
            let per_second = row["per_second"]["median"].as_f64().unwrap();
            assert!(per_second > 0.0, "{row}");
        }
    }
    let redis = rows(&figures, "put").iter().any(|r| r["side"] == "redis");
    assert_eq!(redis, redis_is_here());
    if redis {
        let get = rows(&figures, "get");
        let ratios = get.iter().map(|r| &r["against_redis"]["per_second"]);
        assert!(ratios.clone().all(|r| r.as_f64().is_some_and(|r| r > 0.0)));
    } else {
        // What runs without Redis says so, and how to have it.
        assert!(said.contains("apt-get install redis-server"), "{said}");
    }
    assert!(read("f.md").contains("| in flight | who |"));
    assert!(read("f.svg").trim_end().ends_with("</svg>"));
}

#[test]
fn redis_that_is_wanted_and_not_there_is_one_line_that_tells_how_to_have_it() {
    for command in [&["bench", "--peers"][..], &["bench", "memory", "--peers"]] {
        let output = Command::new(binary())
            .args(command)
            .env("PATH", "")
            .output()
            .expect("the binary runs");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("apt-get install redis-server"), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_measured() {
    let output = Command::new(binary())
        .args(["bench", "--quick", "--json", "/nowhere/at/all.json"])
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/nowhere/at/all.json"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn standard_output_is_not_taken_for_a_file() {
    for option in ["--markdown", "--plot"] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(binary())
            .args(["bench", "--quick", option, "-"])
            .current_dir(folder.path())
            .output()
            .expect("the binary runs");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--json - alone"), "{stderr}");
        assert!(folder.path().read_dir().unwrap().next().is_none());
    }
}

#[test]
fn an_interrupted_benchmark_leaves_no_process_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary())
        .args(["bench", "--seconds", "60"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Everything runs and is filled when it says how much it measures.
    let begun = lines.any(|line| line.is_ok_and(|line| line.contains("measurements")));
    assert!(begun);
    if redis_is_here() {
        assert!(left_over(folder.path()) > 0, "Redis writes its log there");
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let end = Instant::now() + Duration::from_secs(20);
    while left_over(folder.path()) > 0 {
        assert!(Instant::now() < end, "processes are left");
        std::thread::yield_now();
    }
    let left: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
