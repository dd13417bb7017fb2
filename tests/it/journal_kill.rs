//! Kills a process that appends, at random moments, and looks for everything that it had acknowledged.
//!
//! The process is this test program itself, told by an environment variable. It prints a line after each
//! acknowledgement; what it printed is what it promised. After a plain kill everything promised must be there.
//! A power cut is a kill after which the facts log is cut to what it says was flushed: then every
//! promised fact must be there, too. The sabotaged twin, which acknowledges before it flushes, must be caught.

use crate::support::dice::Dice;
use counterfoil::for_tests::journal::{Journal, Reader, Settings, verify};
use counterfoil::for_tests::store::Log;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DATA_DIR: &str = "COUNTERFOIL_TEST_KILLED_DATA_DIR";
const ROUND: &str = "COUNTERFOIL_TEST_KILLED_ROUND";
const SABOTAGE: &str = "COUNTERFOIL_TEST_KILLED_SABOTAGE";
/// Kills in a story, unless `KILLS` says otherwise.
const KILLS: u64 = 20;
/// The longest that a process lives after the first line of the harness: some are killed while they open.
const LONGEST_LIFE_MS: u64 = 120;

/// What ends a round beside the kill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    PowerCut,
}

/// Everything that was acknowledged in all rounds: payloads by log and position.
#[derive(Default)]
struct Promised {
    facts: BTreeMap<u64, String>,
    clicks: BTreeMap<u64, String>,
}

impl Promised {
    fn note(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let (Some("ack"), Some(log), Some(position), Some(payload), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Ok(());
        };
        let promised = if log == "facts" { &mut self.facts } else { &mut self.clicks };
        let position = position.parse().map_err(|_| format!("a position in {line:?}"))?;
        match promised.insert(position, payload.to_owned()) {
            None => Ok(()),
            Some(before) => Err(format!("{log} {position} was acknowledged twice: {before}, {payload}")),
        }
    }

    fn check(&self, data_dir: &Path, log: Log) -> Result<(), String> {
        let promised = if log == Log::Facts { &self.facts } else { &self.clicks };
        if promised.is_empty() {
            // The first start may not have got as far as a log.
            return Ok(());
        }
        let found = read(data_dir, log);
        if let Some((position, payload)) = promised.iter().find(|(at, it)| found.get(at) != Some(it)) {
            let there = found.get(position);
            return Err(format!("{} {position} was {payload}, and is {there:?}", log.code()));
        }
        let distinct: HashSet<&String> = found.values().collect();
        if distinct.len() != found.len() {
            return Err(format!("{} has a record twice", log.code()));
        }
        Ok(())
    }
}

fn read(data_dir: &Path, log: Log) -> BTreeMap<u64, String> {
    let mut reader = Reader::open_at(data_dir, log, 0, true).expect("the log opens");
    let mut found = BTreeMap::new();
    loop {
        let batch = reader.next_batch(10_000, 1 << 20, u64::MAX).expect("the log reads on");
        if batch.is_empty() {
            return found;
        }
        for (at, payload) in batch.iter() {
            found.insert(at.position, String::from_utf8(payload.to_vec()).expect("it was text"));
        }
    }
}

/// The life of the process that is killed. Does nothing where no parent asks for it.
#[test]
fn appending_process() {
    let Some(data_dir) = std::env::var_os(DATA_DIR).map(PathBuf::from) else { return };
    let round = std::env::var(ROUND).expect("the parent names the round");
    let settings = Settings {
        segment_bytes: 64 << 10,
        click_flush_interval: Duration::from_millis(20),
        #[cfg(feature = "sabotage")]
        sabotage_ack_before_flush: std::env::var_os(SABOTAGE).is_some(),
        ..Settings::default()
    };
    let journal = Journal::open(&data_dir, &settings).expect("the journal opens after any kill");
    let tell = |log: &str, position: u64, payload: &str| {
        writeln!(std::io::stdout(), "ack {log} {position} {payload}").expect("the parent listens");
    };
    // The harness has begun a line of its own.
    println!();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (journal, round) = (&journal, &round);
            scope.spawn(move || {
                for count in 0u64.. {
                    let payload = format!("click-{round}-{thread}-{count}");
                    // A click that is dropped was not promised.
                    if let Ok(position) = journal.clicks().append(payload.as_bytes()) {
                        tell("clicks", position, &payload);
                    }
                    std::thread::yield_now();
                }
            });
        }
        for task in 0..16 {
            let (journal, round) = (&journal, &round);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                for count in 0u64.. {
                    let payload = format!("fact-{round}-{task}-{count}");
                    let appended = journal.facts().append(payload.clone().into_bytes());
                    tell("facts", runtime.block_on(appended).expect("the disk takes it"), &payload);
                }
            });
        }
    });
}

fn start(data_dir: &Path, round: u64, sabotage: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["journal_kill::appending_process", "--exact", "--nocapture"]);
    command.env(DATA_DIR, data_dir).env(ROUND, round.to_string()).stdout(Stdio::piped());
    if sabotage {
        command.env(SABOTAGE, "1");
    }
    command.spawn().expect("this program starts")
}

/// Lets a process append, kills it, and notes what it had acknowledged.
fn live_and_die(child: &mut Child, life: Duration, promised: &mut Promised) -> Result<(), String> {
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut deadline = None;
    let mut printed = String::new();
    loop {
        printed.clear();
        output.read_line(&mut printed).expect("it prints text");
        // A line that the kill cut short promises nothing, and is the last.
        let Some(told) = printed.strip_suffix('\n') else { break };
        promised.note(told)?;
        let due = deadline.get_or_insert_with(|| std::time::Instant::now() + life);
        if std::time::Instant::now() >= *due {
            // It may be dead already, of a second kill.
            let _ = child.kill();
        }
    }
    child.wait().expect("it has ended");
    Ok(())
}

/// Cuts the facts log to what its file `flushed` says, as a power cut may that came right after.
fn cut_to_flushed(data_dir: &Path) {
    let dir = data_dir.join("journal").join("facts");
    let Ok(bytes) = fs::read(dir.join("flushed")) else {
        // The first start may not have got so far; later, the next start misses it.
        return;
    };
    let position = |slot: usize| u64::from_le_bytes(bytes[slot..slot + 8].try_into().expect("eight bytes"));
    let flushed = position(0).max(position(40));
    let reader = Reader::open_at(data_dir, Log::Facts, flushed, false).expect("the log opens");
    assert_eq!(reader.next_position(), flushed + 1, "what was flushed is there");
    let (file, offset) = reader.place();
    for entry in fs::read_dir(&dir).expect("a list") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "seg") && path.as_path() > file {
            fs::remove_file(path).expect("removed");
        }
    }
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(offset)).expect("cut");
}

/// The whole story; an error says what was promised and is not there.
fn rounds(fault: Fault, sabotage: bool) -> Result<(), String> {
    let mut dice = Dice::seeded_by("SEED");
    let dir = tempfile::tempdir().expect("a directory");
    let mut promised = Promised::default();
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    for round in 1..=kills {
        let mut child = start(dir.path(), round, sabotage);
        let life = Duration::from_millis(dice.below(LONGEST_LIFE_MS));
        live_and_die(&mut child, life, &mut promised)?;
        if fault == Fault::PowerCut {
            cut_to_flushed(dir.path());
        }
        promised.check(dir.path(), Log::Facts)?;
        promised.check(dir.path(), Log::Clicks)?;
    }
    let journal = Journal::open(dir.path(), &Settings::default()).map_err(|error| error.to_string())?;
    drop(journal);
    let report = verify(dir.path()).map_err(|error| error.to_string())?;
    promised.check(dir.path(), Log::Facts)?;
    promised.check(dir.path(), Log::Clicks)?;
    println!("{} facts and {} clicks were promised", promised.facts.len(), promised.clicks.len());
    if promised.facts.len() < 100 || promised.clicks.len() < 100 {
        return Err("too little was promised to tell anything".into());
    }
    if report.is_whole() { Ok(()) } else { Err(format!("{report:?}")) }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    assert_eq!(rounds(Fault::Kill, false), Ok(()));
}

#[test]
fn no_acknowledged_fact_is_lost_by_power_cuts() {
    assert_eq!(rounds(Fault::PowerCut, false), Ok(()));
}

#[cfg(feature = "sabotage")]
#[test]
fn acknowledging_before_the_flush_is_caught() {
    let caught = rounds(Fault::PowerCut, true);
    assert!(caught.as_ref().is_err_and(|what| what.starts_with("facts")), "{caught:?}");
}
