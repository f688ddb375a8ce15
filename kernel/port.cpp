// The names of ports. Context: as port.hpp; one leaf lock.
#include "kernel/port.hpp"

#include <algorithm>

#include "kernel/sync/spinlock.hpp"

namespace ringlet::kernel {

class PortTable {
public:
    void name(PortDriver& port, std::string_view name) {
        port.length_ = u8(std::min(name.size(), sizeof port.name_));
        std::copy_n(name.data(), port.length_, port.name_);
        if (std::exchange(port.listed_, true)) return;
        port.next_ = first_;
        first_ = &port;
    }
    void forget(PortDriver& port) {
        for (PortDriver** at = &first_; *at != nullptr; at = &(*at)->next_)
            if (*at == &port) return void(*at = port.next_);
    }
    Result<PortDriver*> take(std::string_view name) {
        for (PortDriver* p = first_; p != nullptr; p = p->next_) {
            if (p->length_ == 0 || std::string_view(p->name_, p->length_) != name) continue;
            if (std::exchange(p->taken_, true)) return fail(Error::in_use);
            return p;
        }
        return fail(Error::not_found);
    }
    static bool reserve(PortDriver& port) { return !std::exchange(port.taken_, true); }
    static void release(PortDriver& port) { port.taken_ = false; }

private:
    PortDriver* first_ = nullptr;
};

namespace {
constinit Guarded<PortTable, Rank::leaf, Spinlock> table;
}

void port_name(PortDriver& port, std::string_view name) {
    table.lock()->name(port, name);
}

void port_forget(PortDriver& port) {
    table.lock()->forget(port);
}

bool port_reserve(PortDriver& port) {
    return table.lock()->reserve(port);
}

Result<Port> Port::open(std::string_view name) {
    const auto taken = table.lock()->take(name);
    if (!taken) return fail(taken.error());
    (*taken)->set_guest_open(true);
    return Port(**taken);
}

Port::~Port() {
    if (driver_ == nullptr) return;
    driver_->set_guest_open(false);
    table.lock()->release(*driver_);
}

}  // namespace ringlet::kernel
