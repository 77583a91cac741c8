/* The channel's protocol under SPIN: leases private to the runner, the sleep handshake, and kill -9 at ANY step.
 * Shows: no lost wake-up (a deadlock would be an invalid end state), no lost document, no double completion, under
 *   sequential consistency, which the fences of ring.rs are there for (loom shows those: tests/handshake.rs).
 * Run: spin -a [-DDOCS=4 -DKILLS=3] [-DMUT_...] ipc.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m400000
 *   tests/protocol.rs does, where spin is installed. Each planted bug must fail:
 *   -DMUT_WORKER_NO_RECHECK  the worker sleeps without looking again after wsleep=1   -> invalid end state
 *   -DMUT_RUNNER_NO_RECHECK  the runner sleeps without looking again after psleep=1   -> invalid end state
 *   -DMUT_REQUEUE_FIRST      leases re-queued before the published completions are drained -> assertion violated
 * Not modelled: death of the runner, wrong descriptors, a full doorbell (EAGAIN). */
#ifndef DOCS
#define DOCS 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define CREDIT 2
byte sub[4], cmp[4];            /* ring entries, index mod 4 */
byte sh, ch;                    /* published heads (release stores) */
bit wsleep, psleep, wbell, pbell;
bit killreq, dead;
byte gen;
byte done[DOCS]; byte ndone;

proctype worker() {
  byte st = 0, c = 0, d;
  { do
    :: (sh != st) ->
         d = sub[st % 4]; st++;
         /* work: writes only its own output slot */
         cmp[c % 4] = d; c++; ch = c;             /* publication point */
         if :: psleep -> pbell = 1 :: else fi
    :: (sh == st) ->
         wsleep = 1;
#ifndef MUT_WORKER_NO_RECHECK
         if :: (sh != st) -> wsleep = 0; goto again
            :: else fi;
#endif
         wbell -> wbell = 0; wsleep = 0;          /* poll() on the doorbell */
         again: skip
    od
  } unless { killreq -> killreq = 0; dead = 1 }   /* kill -9 between any two steps */
}

inline drain_completions() {
  do :: (pct != ch) -> d = cmp[pct % 4]; pct++;
        i = 0; do :: (i < nfl && fl[i] != d) -> i++ :: else -> break od;
        assert(i < nfl);                          /* a completion is always for a document leased to this incarnation */
        nfl--; fl[i] = fl[nfl];
        done[d]++; assert(done[d] == 1); ndone++
     :: else -> break od
}
inline requeue_leases() {
  do :: (nfl > 0) -> nfl--; q[qn] = fl[nfl]; qn++ :: else -> break od
}

init {
  byte next = 0, q[DOCS], qn = 0, fl[CREDIT], nfl = 0, psh = 0, pct = 0, i, d; byte kills = 0; bit rang;
  for (i : 0 .. DOCS-1) { q[i] = i; qn++ }
  run worker();
  do
  :: (ndone == DOCS) -> break
  :: else ->
     rang = 0;                                    /* submit while there is work and credit */
     do :: (qn > 0 && nfl < CREDIT) -> qn--; d = q[qn]; fl[nfl] = d; nfl++; sub[psh % 4] = d; psh++; sh = psh; rang = 1
        :: else -> break od;
     if :: (rang && wsleep) -> wbell = 1 :: else fi;

     psleep = 1;                                  /* sleep until a completion is visible, or kill the worker meanwhile */
#ifndef MUT_RUNNER_NO_RECHECK
     if :: (ch != pct) -> skip
        :: (ch == pct && kills < KILLS) -> killreq = 1; dead -> dead = 0; kills++; goto reclaim
        :: (ch == pct) ->
             if :: (ch == pct) -> pbell; pbell = 0
                :: else fi
     fi;
#else
     if :: (ch == pct && kills < KILLS) -> killreq = 1; dead -> dead = 0; kills++; goto reclaim
        :: pbell -> pbell = 0
     fi;
#endif
     psleep = 0;
     if :: (kills < KILLS) -> killreq = 1; dead -> dead = 0; kills++; goto reclaim
        :: skip fi;
     drain_completions();
     if :: 0 ->
reclaim:                                          /* the worker is reaped: no more stores can arrive */
        psleep = 0;
#ifdef MUT_REQUEUE_FIRST
        requeue_leases();
#endif
        drain_completions();
#ifndef MUT_REQUEUE_FIRST
        requeue_leases();
#endif
        sh = 0; ch = 0; psh = 0; pct = 0; wsleep = 0; wbell = 0; pbell = 0; gen++;   /* fresh region */
        run worker()
        :: else fi
  od;
  killreq = 1; dead
}
