//! Lets tests make the disk fail. Outside of tests this is empty and nothing fails.

pub(super) use imp::FaultInjection;

#[cfg(not(test))]
mod imp {
    use std::io;

    #[derive(Debug, Clone, Default)]
    pub struct FaultInjection(());

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the twin used in tests needs both")]
    impl FaultInjection {
        pub const fn at_write(&self) -> io::Result<()> {
            Ok(())
        }
        pub const fn at_sync(&self) -> io::Result<()> {
            Ok(())
        }
        pub const fn at_cut(&self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod imp {
    use std::fmt;
    use std::io;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::{Arc, Mutex};

    /// The errors to come, by the operating system's numbers; 0: none.
    #[derive(Debug, Default)]
    struct Errors {
        write: AtomicI32,
        sync: AtomicI32,
        cut: AtomicI32,
        watcher: Mutex<Option<Watcher>>,
    }

    struct Watcher(Box<dyn FnMut() + Send>);

    impl fmt::Debug for Watcher {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("Watcher")
        }
    }

    #[derive(Debug, Clone, Default)]
    pub struct FaultInjection(Arc<Errors>);

    impl FaultInjection {
        pub const NO_SPACE: i32 = 28;
        pub const IO: i32 = 5;

        pub fn set_write(&self, number: i32) {
            self.0.write.store(number, Ordering::SeqCst);
        }
        pub fn set_sync(&self, number: i32) {
            self.0.sync.store(number, Ordering::SeqCst);
        }
        pub fn set_cut(&self, number: i32) {
            self.0.cut.store(number, Ordering::SeqCst);
        }
        /// Calls `watcher` before each write, flush and cut.
        pub fn watch(&self, watcher: impl FnMut() + Send + 'static) {
            *self.0.watcher.lock().expect("no watcher panicked") = Some(Watcher(Box::new(watcher)));
        }
        pub fn watch_no_more(&self) {
            *self.0.watcher.lock().expect("no watcher panicked") = None;
        }
        pub fn at_write(&self) -> io::Result<()> {
            self.answer(&self.0.write)
        }
        pub fn at_sync(&self) -> io::Result<()> {
            self.answer(&self.0.sync)
        }
        pub fn at_cut(&self) -> io::Result<()> {
            self.answer(&self.0.cut)
        }
        fn answer(&self, number: &AtomicI32) -> io::Result<()> {
            if let Some(Watcher(watch)) = self.0.watcher.lock().expect("no watcher panicked").as_mut() {
                watch();
            }
            match number.load(Ordering::SeqCst) {
                0 => Ok(()),
                number => Err(io::Error::from_raw_os_error(number)),
            }
        }
    }
}
