// Interrupt handlers: who is called for which interrupt, and how often it happened.
#pragma once

#include <string_view>

#include "arch/irq_types.hpp"
#include "lib/function_ref.hpp"
#include "lib/result.hpp"

namespace ringlet::kernel {

enum class IrqResult : u8 { handled, not_mine };
/// Context: interrupt, interrupts disabled. Must be short: silence the device, set an Event.
using IrqHandler = IrqResult (*)(void* context);

/// Adds a handler; several may share a level-triggered line. The interrupt is unmasked by the first.
/// `name` must outlive the registration. Context: thread.
Result<> irq_request(arch::IrqId id, IrqHandler handler, void* context, std::string_view name);
/// Removes it; when this returns the handler is not running and will not be called again.
void irq_release(arch::IrqId id, IrqHandler handler, void* context);

struct IrqInfo {
    arch::IrqId id;
    std::string_view name;
    u64 count, spurious;
};
void for_each_irq(FunctionRef<void(const IrqInfo&)> visit);

}  // namespace ringlet::kernel
