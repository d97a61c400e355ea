//! [`IrqEdges`]: a line as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::line::{IrqLine, LineShared};
use crate::executor;

/// The edges of a line as a stream of counts; made by [`IrqLine::edges`].
///
/// `stream.next().await` waits for an interrupt. Each item is the number of edges since the last one, so that their
/// sum is what was raised, however many were coalesced. `None` after the kernel's shutdown.
///
/// Dropping a `next()` loses no edge: the next one tells them.
#[derive(Debug)]
pub struct IrqEdges {
    line: Arc<LineShared>,
    id: u64,
    /// Edges told so far, counted from the line's making.
    told: u64,
}

impl IrqEdges {
    pub(super) fn new(line: Arc<LineShared>) -> Self {
        let told = line.latch.raised();
        let id = {
            let mut watchers = line.watchers();
            watchers.next += 1;
            let id = watchers.next;
            watchers.wakers.insert(id, None);
            id
        };
        if line.latch.is_pending() {
            // Nobody may have cared for it before; now its token is due.
            line.kernel.recheck_masked(&line);
            executor::deliver_if_current(&line.kernel);
        }
        Self { line, id, told }
    }

    fn take(&mut self) -> Option<u64> {
        let delivered = IrqLine::delivered_edges(&self.line);
        (delivered > self.told).then(|| {
            let count = delivered - self.told;
            self.told = delivered;
            count
        })
    }
}

impl Stream for IrqEdges {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        if let Some(count) = self.take() {
            return Poll::Ready(Some(count));
        }
        let id = self.id;
        self.line.watchers().wakers.insert(id, Some(cx.waker().clone()));
        // Once more: a delivery or the end may have come before the waker was in place.
        if let Some(count) = self.take() {
            return Poll::Ready(Some(count));
        }
        if self.line.kernel.is_gone() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Drop for IrqEdges {
    fn drop(&mut self) {
        self.line.watchers().wakers.remove(&self.id);
    }
}
