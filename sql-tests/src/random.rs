//! Random numbers that can be made again: every test that uses them prints its seed.

/// A small generator (xorshift with a multiplier).
pub struct Random(u64);

impl Random {
    /// From `TIDEGATE_TEST_SEED`, or from the clock; prints the seed.
    pub fn new(purpose: &str) -> Self {
        let given = std::env::var("TIDEGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
            now.as_nanos() as u64
        });
        println!("seed of {purpose}: TIDEGATE_TEST_SEED={seed}");
        Self(seed.max(1))
    }
    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }
    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
