// Gives addresses to BARs and bridge windows out of the host bridge's windows. What the firmware assigned
// sensibly stays. PCI Local Bus 3.0 §6.2.5, PCI-to-PCI Bridge 1.2 §3.2.5.6-§3.2.5.10. Context: thread, inside
// Bus::enumerate.
#pragma once

#include "drivers/pci/bus.hpp"

namespace ringlet::pci {

/// Three steps: keep what is good, compute what every closed bridge window would need (leaves first), then
/// hand out from the root down. Within one bus the most strictly aligned comes first, so nothing is lost to
/// alignment.
class Assigner {
public:
    using Kind = arch::PciWindow::Kind;

    explicit Assigner(Bus& bus) : bus_(bus) {}
    void run();

private:
    /// What one bus has to give, in bus addresses: [base, end).
    struct Range {
        u64 base = 0, end = 0;
    };
    /// Something without an address: a BAR (number 0..5) or a bridge's window (kWindow).
    struct Item {
        Function& function;
        unsigned number;
        u64 bytes, align;
    };
    static constexpr unsigned kWindow = ~0u;

    bool firmware_only() const { return bus_.host_.windows.empty(); }
    bool has_host_window(Kind kind) const;
    Kind kind_of(const Bar& bar, const Function* bridge) const;
    Range range_of(const Function* bridge, Kind kind) const;
    bool inside_range(const Function* bridge, Kind kind, u64 base, u64 bytes) const;

    void keep();
    void keep_window(Function& f, Kind kind);
    void keep_bar(Function& f, unsigned n);
    void compute_need(Function& bridge, Kind kind);
    void assign(Function* bridge, Kind kind);
    bool place(const Item& item, Function* bridge, Kind kind, u64& cursor);
    /// The end of something on this bus that overlaps [base, base + bytes); nothing when all of it is free.
    std::optional<u64> overlap(const Function* bridge, bool io, u64 base, u64 bytes) const;

    void set_bar(Function& f, unsigned n, u64 address);
    void set_window(Function& f, Kind kind, u64 base, u64 bytes);
    void translate(Function& f, unsigned n);
    void enable_bridges();

    template <class F> void for_each_on(const Function* bridge, F visit) const {
        for (Function& f : bus_.functions_)
            if (f.parent_ == bridge) visit(f);
    }
    template <class F> void for_each_item(const Function* bridge, Kind kind, F visit) const;

    Bus& bus_;
};

}  // namespace ringlet::pci
