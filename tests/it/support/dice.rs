//! Random numbers from a seed that is printed, so that what failed can be repeated.

/// A random number a call.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// By the seed in an environment variable; without it by any. The seed is printed.
    pub fn seeded_by(variable: &str) -> Self {
        let given = std::env::var(variable).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| getrandom::u64().expect("a random number") % 1_000_000);
        println!("{variable}={seed}");
        Self::of(seed)
    }
    /// By a seed.
    pub const fn of(seed: u64) -> Self {
        // Small seeds differ in few bits, and 0 would stay 0.
        Self { seed, state: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }
    /// What they were seeded by.
    pub const fn seed(&self) -> u64 {
        self.seed
    }
    /// One below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 8) % limit
    }
    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
    /// One of some.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
    /// A place in a list of so many.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }
    /// Brings a list into any order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            all.swap(end, self.index(end + 1));
        }
    }
}
