//! Processes that are measured.

use anyhow::{Context, Result, bail};
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The kernel counts a process's time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);
/// How long a server may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A child process that does not outlive its owner.
pub struct Process {
    pub child: Child,
    /// Its name in messages.
    pub name: &'static str,
}

impl Process {
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("start {name}: {command:?}"))?;
        Ok(Self { child, name })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let asked = Command::new("kill").arg(self.id().to_string()).status().context("run kill")?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.child.try_wait()?.is_none() {
            if !asked.success() || Instant::now() > deadline {
                bail!("{} does not stop", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time of a process, user and system, of all its threads.
///
/// The sum over living threads is exact; the process's own count includes the threads that ended, in ticks.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process's times")?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<u32>().ok());
    let ticks = ticks(11).zip(ticks(12)).context("read a process's times")?;
    let counted = TICK * (ticks.0 + ticks.1);
    Ok(counted.max(threads_time(pid)))
}

fn threads_time(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = threads.flatten().filter_map(|thread| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The most memory that a process had resident, in bytes.
pub fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's memory")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let kibibytes: u64 = peak.context("a process without VmHWM")?.parse()?;
    Ok(kibibytes * 1024)
}

/// Makes the peak start again from what is resident now.
pub fn reset_peak_memory(pid: u32) {
    // Where this is not allowed, the peak is that of the process's whole life, which is never too small.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
