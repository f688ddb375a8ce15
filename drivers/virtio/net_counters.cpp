// Names for the network driver's counters.
#include "drivers/virtio/net_counters.hpp"

#include <span>

#include "lib/format.hpp"

namespace ringlet::virtio {

namespace {

constexpr std::string_view kRxNames[] = {"ipackets", "ibytes", "iqdrops", "csum", "host_lro", "rescheduled"};
constexpr std::string_view kTxNames[] = {"opackets", "obytes", "omcasts", "csum", "tso", "rescheduled"};
constexpr std::string_view kNetNames[] = {
    "rx_csum_bad_offset", "rx_frame_too_short", "rx_frame_too_large", "rx_mergeable_failed", "rx_bad_gso",
    "mbuf_alloc_failed",  "tx_csum_software",   "tx_dropped",         "tx_timeouts",         "tx_held",
    "announcements",      "link_changes"};
static_assert(std::size(kRxNames) == usize(RxCount::count) && std::size(kTxNames) == usize(TxCount::count) &&
              std::size(kNetNames) == usize(NetCount::count));

void visit_queue(std::string_view queue, u16 pair, std::span<const std::string_view> names,
                 std::span<const Counter> counters, ValueVisitor visit) {
    for (usize i = 0; i < names.size(); ++i) {
        char text[32];
        visit(format_to(text, "{}{}.{}", queue, pair, names[i]), counters[i].value());
    }
}

}  // namespace

void visit_counters(const CounterSet<RxCount>& counters, u16 pair, ValueVisitor visit) {
    visit_queue("rxq", pair, kRxNames, counters.all(), visit);
}
void visit_counters(const CounterSet<TxCount>& counters, u16 pair, ValueVisitor visit) {
    visit_queue("txq", pair, kTxNames, counters.all(), visit);
}
void visit_counters(const CounterSet<NetCount>& counters, ValueVisitor visit) {
    for (usize i = 0; i < std::size(kNetNames); ++i) visit(kNetNames[i], counters.all()[i].value());
}

}  // namespace ringlet::virtio
