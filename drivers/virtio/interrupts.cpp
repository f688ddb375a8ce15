// Opening, masking and releasing the interrupts of one device.
#include "drivers/virtio/interrupts.hpp"

namespace ringlet::virtio {

std::string_view to_string(InterruptMode mode) {
    switch (mode) {
    case InterruptMode::per_queue:
        return "MSI-X, a vector per queue";
    case InterruptMode::split:
        return "MSI-X, data and slow queues apart";
    case InterruptMode::shared:
        return "MSI-X, one vector";
    case InterruptMode::line:
        return "wired line";
    case InterruptMode::polling:
        return "polling";
    }
    return "?";
}

kernel::IrqResult InterruptSlots::on_vector(void* p) {
    const Slot& slot = *static_cast<Slot*>(p);
    InterruptSlots& self = *slot.owner;
    if (self.live_) self.handler_(self.context_, slot.queues, slot.config);
    return kernel::IrqResult::handled;  // nobody else owns this vector, however late it comes
}

kernel::IrqResult InterruptSlots::on_line(void* p) {
    const Slot& slot = *static_cast<Slot*>(p);
    InterruptSlots& self = *slot.owner;
    const u32 why = self.read_status_(self.transport_).bits;  // acknowledges first, drains afterwards
    if (why == 0) return kernel::IrqResult::not_mine;
    // Not live any more: acknowledged all the same, or a level-triggered line would stay up until the reset.
    if (self.live_) {
        self.handler_(self.context_, why & InterruptStatus::kQueue ? slot.queues : 0,
                      (why & InterruptStatus::kConfig) != 0);
    }
    return kernel::IrqResult::handled;
}

bool InterruptSlots::open_vectors(u16 count) {
    if (wiring_.vectors == nullptr || count > kMaxVectors || count > wiring_.vectors->size()) return false;
    for (u16 i = 0; i < count; ++i) {
        const auto id = wiring_.vectors->open(i);
        if (!id) {
            close_vectors();
            return false;
        }
        slots_[i] = {.owner = this, .queues = 0, .config = false, .open = true, .requested = false, .id = *id};
    }
    if (wiring_.vectors->enable()) return true;
    close_vectors();
    return false;
}

void InterruptSlots::close_vectors() {
    for (u16 i = 0; i < kMaxVectors; ++i) {
        if (slots_[i].open) wiring_.vectors->close(i);
        slots_[i] = {};
    }
    wiring_.vectors->disable();
}

Result<> InterruptSlots::unmask() {
    live_ = true;
    for (u16 i = 0; i < kMaxVectors; ++i) {
        Slot& slot = slots_[i];
        if (!slot.open) continue;
        if (!slot.requested)
            TRY(kernel::irq_request(slot.id, mode_ == InterruptMode::line ? on_line : on_vector, &slot, name_));
        slot.requested = true;
        if (mode_ != InterruptMode::line) wiring_.vectors->unmask(i);
    }
    return {};
}

void InterruptSlots::mask() {
    live_ = false;
    for (u16 i = 0; i < kMaxVectors; ++i)
        if (slots_[i].open && mode_ != InterruptMode::line) wiring_.vectors->mask(i);
}

void InterruptSlots::release() {
    if (handler_ == nullptr) return;
    mask();
    for (Slot& slot : slots_) {
        if (slot.requested) kernel::irq_release(slot.id, mode_ == InterruptMode::line ? on_line : on_vector, &slot);
        slot.requested = false;
    }
    if (mode_ < InterruptMode::line) close_vectors();
    slots_ = {};
    mode_ = InterruptMode::polling;
}

}  // namespace ringlet::virtio
