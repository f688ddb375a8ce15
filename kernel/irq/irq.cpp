// Dispatch of device interrupts: a small hash table of lines, each with the handlers that share it. Lines are
// never freed (their number is bounded by the controller), handlers are, after the dispatcher has left the
// line. Context: see irq.hpp; dispatch runs in the interrupt.
#include "kernel/irq/irq.hpp"

#include <arch/cpu.hpp>
#include <arch/irq.hpp>
#include <atomic>
#include <memory>
#include <new>

#include "arch/hooks.hpp"
#include "kernel/log.hpp"
#include "kernel/sched/internal.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::kernel {

namespace {

constexpr usize kBuckets = 32;
constexpr u32 kStorm = 1000;  ///< interrupts in a row that nobody claims before the line is masked for good

struct Handler {
    IrqHandler call;
    void* context;
    std::string_view name;
    u64 count = 0;
    std::atomic<Handler*> next{nullptr};
};

struct Line {
    arch::IrqId id;
    std::atomic<Handler*> handlers{nullptr};
    std::atomic<Line*> next{nullptr};
    std::atomic<u32> running{0};
    u64 spurious = 0;
    u32 unclaimed = 0;  ///< in a row
};

struct Table {
    std::atomic<Line*> buckets[kBuckets] = {};
};

constinit Table table;          // read by the dispatcher without a lock: entries are published whole
constinit Spinlock table_lock;  // between those that change it
constinit u32 unknown_in_a_row = 0;

class TableGuard {
public:
    TableGuard() { table_lock.acquire(Rank::device); }
    ~TableGuard() { table_lock.release(Rank::device); }
};

std::atomic<Line*>& bucket(arch::IrqId id) {
    return table.buckets[static_cast<u32>(id) % kBuckets];
}

inline Line* find(arch::IrqId id) {
    Line* line = bucket(id).load(std::memory_order_acquire);
    while (line != nullptr && line->id != id) line = line->next.load(std::memory_order_acquire);
    return line;
}

/// The line of `id`, which is `spare` when there was none; then `spare` is taken. Under the table lock.
Line& find_or_use(arch::IrqId id, std::unique_ptr<Line>& spare) {
    if (Line* line = find(id)) return *line;
    Line* const line = spare.release();
    line->next.store(bucket(id).load(std::memory_order_relaxed), std::memory_order_relaxed);
    bucket(id).store(line, std::memory_order_release);
    return *line;
}

[[gnu::cold]] void nobody_asked(arch::IrqId id) {
    if (++unknown_in_a_row != kStorm) return;
    unknown_in_a_row = 0;
    arch::mask(id);
    log(LogLevel::error, "irq {}: nobody ever asked for it; masked", id);
}

[[gnu::cold]] void nobody_claimed(Line& line) {
    ++line.spurious;
    if (++line.unclaimed != kStorm) return;
    arch::mask(line.id);
    log(LogLevel::error, "irq {}: {} interrupts in a row that nobody claimed; masked", line.id, kStorm);
}

void dispatch(arch::IrqId id) {
    Line* const line = find(id);
    if (line == nullptr) return nobody_asked(id);
    line->running.fetch_add(1, std::memory_order_acquire);
    bool handled = false;
    for (Handler* h = line->handlers.load(std::memory_order_acquire); h != nullptr;
         h = h->next.load(std::memory_order_acquire)) {
        if (h->call(h->context) != IrqResult::handled) continue;
        ++h->count;
        handled = true;
    }
    line->running.fetch_sub(1, std::memory_order_release);
    if (!handled) return nobody_claimed(*line);
    line->unclaimed = 0;
}

}  // namespace

Result<> irq_request(arch::IrqId id, IrqHandler call, void* context, std::string_view name) {
    // Both are allocated before the lock is taken: the heap's lock ranks above it.
    std::unique_ptr<Handler> handler(new (std::nothrow) Handler{.call = call, .context = context, .name = name});
    std::unique_ptr<Line> spare(new (std::nothrow) Line{.id = id});
    if (!handler || !spare) return fail(Error::no_memory);
    bool first;
    {
        const TableGuard guard;
        Line& line = find_or_use(id, spare);
        Handler* const head = line.handlers.load(std::memory_order_relaxed);
        first = head == nullptr;
        if (first) line.unclaimed = 0;
        handler->next.store(head, std::memory_order_relaxed);
        line.handlers.store(handler.release(), std::memory_order_release);
    }
    if (first) arch::unmask(id);
    return {};
}

void irq_release(arch::IrqId id, IrqHandler call, void* context) {
    Handler* found = nullptr;
    Line* line;
    {
        const TableGuard guard;
        line = find(id);
        if (line == nullptr) return;
        for (std::atomic<Handler*>* at = &line->handlers;; at = &at->load(std::memory_order_relaxed)->next) {
            Handler* h = at->load(std::memory_order_relaxed);
            if (h == nullptr) return;
            if (h->call != call || h->context != context) continue;
            at->store(h->next.load(std::memory_order_relaxed), std::memory_order_release);
            found = h;
            break;
        }
        if (line->handlers.load(std::memory_order_relaxed) == nullptr) arch::mask(id);
    }
    while (line->running.load(std::memory_order_acquire) != 0) arch::relax();  // on another CPU
    delete found;
}

void for_each_irq(FunctionRef<void(const IrqInfo&)> visit) {
    for (usize wanted = 0;; ++wanted) {
        bool found = false;
        IrqInfo info{};
        {
            const TableGuard guard;
            usize at = 0;
            for (auto& head : table.buckets)
                for (Line* line = head.load(); line != nullptr && !found; line = line->next.load())
                    for (Handler* h = line->handlers.load(); h != nullptr && !found; h = h->next.load()) {
                        if (at++ != wanted) continue;
                        info = {line->id, h->name, h->count, line->spurious};
                        found = true;
                    }
        }
        if (!found) return;
        visit(info);
    }
}

}  // namespace ringlet::kernel

void ringlet::arch::hooks::interrupt(IrqId id) {
    const kernel::InterruptScope scope;
    kernel::dispatch(id);
}
