//! [`Queue`]: a reader's frames, bounded by the bytes that they keep alive.
//!
//! A frame is a slice of its transfer's buffer, and one small frame keeps all of that buffer alive. So what is
//! bounded is the sum of the buffers that the queue pins, and not the sum of the frames' own lengths:
//!
//! - while what is pinned stays within half of the budget, frames are queued as slices;
//! - beyond that a frame that is small against its buffer is copied out, and pins only its own length;
//! - what fits neither way is dropped, the newest frame or the oldest ones as the [`DropPolicy`] says.
//!
//! This is plain data without locks or clocks; [`stream`](super) puts it behind a mutex.

use std::collections::VecDeque;

use super::{DropPolicy, RxBuffer};
use crate::frame::Frame;

/// A frame is small against its buffer if it fits this many times.
const SMALL: usize = 4;

/// What a queue keeps for each frame beside its bytes.
const OVERHEAD: usize = size_of::<Entry>();

/// What an entry keeps alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pin {
    /// The buffer numbered so, with so many bytes, which its neighbours may share.
    Buffer { id: u64, size: usize },
    /// Only so many bytes of its own.
    Own(usize),
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    pin: Pin,
}

/// What became of a frame that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pushed {
    /// How many frames were dropped: this one, or older ones.
    pub(super) dropped: u64,
    /// Whether the frame was copied out of its buffer.
    pub(super) copied: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    pinned: usize,
    budget: usize,
    policy: DropPolicy,
    /// Frames lost since the last one that was queued.
    lost: u64,
}

impl Queue {
    pub(super) fn new(budget: usize, policy: DropPolicy) -> Self {
        Self { entries: VecDeque::new(), pinned: 0, budget, policy, lost: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the queue keeps alive.
    pub(super) fn pinned(&self) -> usize {
        self.pinned
    }

    /// Whether what is pinned is beyond half of the budget.
    pub(super) fn is_above_half(&self) -> bool {
        self.pinned > self.budget / 2
    }

    /// Notes that frames were lost before the next one.
    pub(super) fn lose(&mut self, frames: u64) {
        self.lost += frames;
    }

    /// Queues a frame, or drops what must be dropped.
    pub(super) fn push(&mut self, frame: &Frame, buffer: RxBuffer) -> Pushed {
        let mut dropped = 0;
        loop {
            if let Some((pin, cost)) = self.fit(frame, buffer) {
                let copied = matches!(pin, Pin::Own(_));
                let frame = if copied { frame.detach() } else { frame.clone() };
                let frame = frame.with_lost_before(core::mem::take(&mut self.lost));
                self.pinned += cost;
                self.entries.push_back(Entry { frame, pin });
                return Pushed { dropped, copied };
            }
            dropped += 1;
            if self.policy == DropPolicy::Newest || !self.drop_oldest() {
                self.lost += 1;
                return Pushed { dropped, copied: false };
            }
        }
    }

    /// How a frame can be queued within the budget, and what that adds to the bytes pinned.
    fn fit(&self, frame: &Frame, buffer: RxBuffer) -> Option<(Pin, usize)> {
        let shared = Pin::Buffer { id: buffer.id, size: buffer.size };
        // Frames come buffer by buffer, so one that shares its buffer stands next to its sharer.
        let share = match self.entries.back() {
            Some(last) if last.pin == shared => OVERHEAD,
            _ => OVERHEAD + buffer.size,
        };
        let room = self.budget.saturating_sub(self.pinned);
        let small = frame.bytes().len().saturating_mul(SMALL) <= buffer.size;
        let is_free = share == OVERHEAD;
        if share <= room && (is_free || !small || self.pinned + share <= self.budget / 2) {
            return Some((shared, share));
        }
        let own = OVERHEAD + frame.bytes().len();
        (small && own <= room).then_some((Pin::Own(frame.bytes().len()), own))
    }

    /// Takes the oldest frame.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let entry = self.entries.pop_front()?;
        self.pinned -= OVERHEAD;
        match entry.pin {
            Pin::Own(size) => self.pinned -= size,
            Pin::Buffer { size, .. } => {
                if self.entries.front().is_none_or(|next| next.pin != entry.pin) {
                    self.pinned -= size;
                }
            }
        }
        Some(entry.frame)
    }

    /// Drops the oldest frame; the next one tells of it.
    fn drop_oldest(&mut self) -> bool {
        let Some(frame) = self.pop() else { return false };
        let lost = frame.lost_before() + 1;
        match self.entries.front_mut() {
            Some(next) => {
                let total = next.frame.lost_before() + lost;
                let frame = next.frame.clone().with_lost_before(total);
                next.frame = frame;
            }
            None => self.lost += lost,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(len: usize) -> Frame {
        Frame::builder(vec![0xd4; len]).build()
    }

    fn buffer(id: u64, size: usize) -> RxBuffer {
        RxBuffer { id, size }
    }

    #[test]
    fn a7_frames_of_one_buffer_pin_it_once() {
        let mut queue = Queue::new(1 << 20, DropPolicy::Newest);
        let (f, b) = (frame(100), buffer(1, 32_768));
        for _ in 0..10 {
            assert_eq!(queue.push(&f, b), Pushed { dropped: 0, copied: false });
        }
        assert_eq!(queue.pinned(), 32_768 + 10 * OVERHEAD);
        for _ in 0..9 {
            queue.pop();
        }
        assert_eq!(queue.pinned(), 32_768 + OVERHEAD);
        queue.pop();
        assert_eq!(queue.pinned(), 0);
    }

    #[test]
    fn a7_beyond_half_of_the_budget_small_frames_are_copied_out() {
        let mut queue = Queue::new(8 * 32_768, DropPolicy::Newest);
        let small = frame(300);
        let mut copied = 0;
        for id in 0..200 {
            let pushed = queue.push(&small, buffer(id, 32_768));
            assert_eq!(pushed.dropped, 0);
            copied += u32::from(pushed.copied);
        }
        // Three buffers of 32 KiB and what is kept for each frame fit in half of the budget.
        assert_eq!((copied, queue.len()), (197, 200));
        // A copy has the same bytes in another place.
        let first = queue.pop().unwrap();
        let last = core::iter::from_fn(|| queue.pop()).last().unwrap();
        assert_eq!(first.bytes(), last.bytes());
        assert_eq!(first.bytes().as_ptr(), small.bytes().as_ptr());
        assert_ne!(last.bytes().as_ptr(), small.bytes().as_ptr());
        // One that fills its buffer is never copied.
        let large = frame(30_000);
        for id in 0..7 {
            assert_eq!(queue.push(&large, buffer(1000 + id, 32_768)), Pushed { dropped: 0, copied: false });
        }
        assert_eq!(queue.push(&large, buffer(2000, 32_768)), Pushed { dropped: 1, copied: false });
    }

    #[test]
    fn a6_drop_newest_tells_the_loss_on_the_next_frame() {
        let mut queue = Queue::new(3 * (1000 + OVERHEAD), DropPolicy::Newest);
        for id in 0..5 {
            queue.push(&frame(900), buffer(id, 1000));
        }
        assert_eq!(queue.len(), 3);
        queue.pop();
        queue.push(&frame(900), buffer(9, 1000));
        let lost: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|f| f.lost_before()).collect();
        assert_eq!(lost, [0, 0, 2]);
    }

    #[test]
    fn a6_drop_oldest_tells_the_loss_on_the_oldest_that_is_left() {
        let mut queue = Queue::new(3 * (1000 + OVERHEAD), DropPolicy::Oldest);
        let pushed: Vec<_> = (0..7).map(|id| queue.push(&frame(900), buffer(id, 1000)).dropped).collect();
        assert_eq!(pushed, [0, 0, 0, 1, 1, 1, 1]);
        let lost: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|f| f.lost_before()).collect();
        assert_eq!(lost, [4, 0, 0]);
        // A frame that would not fit an empty queue takes all others with it, and is lost itself.
        queue.push(&frame(900), buffer(8, 1000));
        assert_eq!(queue.push(&frame(9000), buffer(9, 10_000)).dropped, 2);
        assert!(queue.is_empty());
        queue.push(&frame(900), buffer(10, 1000));
        assert_eq!(queue.pop().unwrap().lost_before(), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { next_buffer: bool, len: usize, size: usize },
        Pop,
        Lose(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<bool>(), 1usize..4000, 1usize..40_000)
                .prop_map(|(next_buffer, len, size)| Step::Push { next_buffer, len, size }),
            2 => Just(Step::Pop),
            1 => (1u64..5).prop_map(Step::Lose),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn a7_the_budget_holds_and_every_frame_is_popped_or_told_as_lost(
            steps in steps(), budget in 1usize..200_000, oldest in any::<bool>()
        ) {
            let policy = if oldest { DropPolicy::Oldest } else { DropPolicy::Newest };
            let mut queue = Queue::new(budget, policy);
            let (mut id, mut size) = (0, 0);
            let (mut offered, mut popped, mut dropped, mut lost_elsewhere, mut told) = (0, 0, 0, 0, 0);
            for step in steps {
                match step {
                    Step::Push { next_buffer, len, size: new } => {
                        if next_buffer || size == 0 {
                            id += 1;
                            size = new;
                        }
                        offered += 1;
                        dropped += queue.push(&frame(len.min(size)), buffer(id, size)).dropped;
                    }
                    Step::Pop => {
                        if let Some(frame) = queue.pop() {
                            popped += 1;
                            told += frame.lost_before();
                        }
                    }
                    Step::Lose(frames) => {
                        queue.lose(frames);
                        lost_elsewhere += frames;
                    }
                }
                prop_assert!(queue.pinned() <= budget);
                prop_assert_eq!(offered, popped + queue.len() as u64 + dropped);
            }
            while let Some(frame) = queue.pop() {
                told += frame.lost_before();
            }
            prop_assert_eq!(told + queue.lost, dropped + lost_elsewhere);
            prop_assert_eq!(queue.pinned(), 0);
        }
    }
}
