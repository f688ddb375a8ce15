// kernel/irq/irq.hpp and the upward hooks for host tests: a table under a shared_mutex, held shared while
// handlers run, so irq_release() waits for a handler that runs in another thread (and must not be called from
// one).
#include "kernel/irq/irq.hpp"

#include <arch/irq.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "arch/hooks.hpp"

namespace ringlet {

namespace {

struct Handler {
    kernel::IrqHandler call;
    void* context;
};
struct Entry {
    std::list<Handler> handlers;
    std::string_view name;
    std::atomic<u64> count{0}, spurious{0};
};
struct Table {
    std::shared_mutex mutex;
    std::map<arch::IrqId, Entry> entries;
};
Table& table() {
    static Table t;
    return t;
}

}  // namespace

namespace kernel {

Result<> irq_request(arch::IrqId id, IrqHandler handler, void* context, std::string_view name) {
    {
        std::unique_lock lock(table().mutex);
        Entry& entry = table().entries[id];
        entry.handlers.push_back({handler, context});
        entry.name = name;
        if (entry.handlers.size() > 1) return {};
    }
    arch::unmask(id);
    return {};
}

void irq_release(arch::IrqId id, IrqHandler handler, void* context) {
    std::unique_lock lock(table().mutex);
    auto entry = table().entries.find(id);
    if (entry == table().entries.end()) return;
    entry->second.handlers.remove_if([&](const Handler& h) { return h.call == handler && h.context == context; });
    if (!entry->second.handlers.empty()) return;
    table().entries.erase(entry);
    arch::mask(id);
}

void for_each_irq(FunctionRef<void(const IrqInfo&)> visit) {
    std::shared_lock lock(table().mutex);
    for (const auto& [id, entry] : table().entries) visit({id, entry.name, entry.count, entry.spurious});
}

}  // namespace kernel

namespace arch::hooks {

void* const boot_cpu_local = nullptr;

void interrupt(IrqId id) {
    std::shared_lock lock(table().mutex);
    auto entry = table().entries.find(id);
    if (entry == table().entries.end()) return;
    bool handled = false;
    for (const Handler& h : entry->second.handlers) handled |= h.call(h.context) == kernel::IrqResult::handled;
    ++(handled ? entry->second.count : entry->second.spurious);
}

void timer() {}
bool interrupt_exit(const Interrupted&) {
    return false;
}
void diverted(Registers&) {}

void fault(const char* what, const Registers&) {
    std::fprintf(stderr, "fault: %s\n", what);
    std::abort();
}

Result<PhysAddr> allocate_table_page() {
    return fail(Error::no_memory);
}
Result<PhysAddr> allocate_contiguous(usize) {
    return fail(Error::no_memory);
}
void free_table_page(PhysAddr) {}

}  // namespace arch::hooks

}  // namespace ringlet
