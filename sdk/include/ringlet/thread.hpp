// Threads, locks and waiting for applications: the kernel's own, under shorter names.
//   auto worker = Thread::spawn({.name = "worker"}, [] { … });      // Result<Thread>; joins on destruction
//   Locked<State> state;  auto s = state.lock();  s->counter++;     // the lock owns its data
#pragma once

#include "kernel/sched/event.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/lock.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet {

using kernel::Event;
using kernel::now;
using kernel::sleep_for;
using kernel::sleep_until;
using kernel::ThreadConfig;
using kernel::WaitQueue;
using kernel::yield;
using Thread = kernel::ThreadHandle;
/// Application locks have the highest rank: they may be held while calling anything of Ringlet's.
template <class T> using Locked = kernel::Guarded<T, kernel::Rank::application, kernel::Mutex>;

}  // namespace ringlet
