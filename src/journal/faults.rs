//! Where a test lets the disk fail. Outside of tests nothing is here, and nothing fails.

pub(super) use imp::Faults;

#[cfg(not(test))]
mod imp {
    use std::io;

    #[derive(Debug, Clone, Default)]
    pub struct Faults(());

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the twin used in tests needs both")]
    impl Faults {
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
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, Ordering};

    /// The operating system's numbers of the errors to come; 0: none.
    #[derive(Debug, Default)]
    struct Errors {
        write: AtomicI32,
        sync: AtomicI32,
        cut: AtomicI32,
    }

    #[derive(Debug, Clone, Default)]
    pub struct Faults(Arc<Errors>);

    impl Faults {
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
        pub fn at_write(&self) -> io::Result<()> {
            Self::answer(&self.0.write)
        }
        pub fn at_sync(&self) -> io::Result<()> {
            Self::answer(&self.0.sync)
        }
        pub fn at_cut(&self) -> io::Result<()> {
            Self::answer(&self.0.cut)
        }
        fn answer(number: &AtomicI32) -> io::Result<()> {
            match number.load(Ordering::SeqCst) {
                0 => Ok(()),
                number => Err(io::Error::from_raw_os_error(number)),
            }
        }
    }
}
