//! What the dispatcher shows of itself: its numbers copied into the counters after each turn. Decides nothing.

use super::Dispatcher;

impl Dispatcher {
    pub(super) fn publish_counters(&self) {
        let tally = self.dispatch.tally;
        let counters = &self.counters;
        counters.inputs.set(tally.inputs);
        counters.ok.set(tally.ok);
        counters.failed.set(tally.failed);
        counters.skipped.set(tally.skipped);
        counters.quarantined.set(tally.quarantined);
        counters.reused.set(tally.reused);
        counters.prompt_tokens_known.set(tally.prompt_tokens_known);
        counters.prompt_tokens_done.set(tally.prompt_tokens_done);
        counters.generated_tokens.set(tally.generated_tokens);
        counters.text_bytes.set(tally.text_bytes);
        counters.covered_bytes.set(tally.covered_bytes);
        counters.attempts_charged.set(tally.attempts_charged);
        counters.requeued.set(tally.requeued);
        counters.repairs.set(tally.repairs);
        counters
            .discovery_done
            .set(u64::from(self.dispatch.discovery_is_done()));
        counters
            .pending_requests
            .set(self.dispatch.pending_requests() as u64);
        counters.leased.set(self.dispatch.leased() as u64);
        counters.ipc_bytes.set(self.arena.segment_bytes_total());
        counters.paused.set(u64::from(self.dispatch.is_paused()));
        let (rows, bytes) = self.workers.values().fold((0, 0), |(rows, bytes), worker| {
            let said = worker.port.progress();
            (rows + said.active_rows, bytes + said.memory_bytes)
        });
        counters.active_rows.set(rows);
        counters.engine_bytes.set(bytes);
    }
}
