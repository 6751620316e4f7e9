//! Random choices that a seed makes again.

use serde_json::Value;

/// A small generator of numbers (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Whether something happens that happens once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several; the default where there is nothing to choose from.
    pub fn one_of<T: Clone + Default>(&mut self, choices: &[T]) -> T {
        let place = usize::try_from(self.below(choices.len().max(1) as u64)).unwrap_or(0);
        choices.get(place).cloned().unwrap_or_default()
    }

    /// One to `most` of several, in their order.
    pub fn some_of<T: Clone>(&mut self, choices: &[T], most: usize) -> Vec<T> {
        let first = usize::try_from(self.below(choices.len().max(1) as u64)).unwrap_or(0);
        let count = usize::try_from(1 + self.below(most.max(1) as u64)).unwrap_or(1);
        choices.iter().skip(first).take(count).cloned().collect()
    }

    /// Sets a field once in so many times.
    pub fn maybe(&mut self, into: &mut Value, name: &str, times: u64, choices: &[Value]) {
        if self.once_in(times) {
            into[name] = self.one_of(choices);
        }
    }
}
