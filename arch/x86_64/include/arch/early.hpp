// What runs before anything else on the boot CPU.
#pragma once

namespace ringlet::arch {

/// GDT with TSS, IDT with stacks of their own for faults, SMEP. From here on a fault is reported. Context: boot.
void cpu_init();
/// COM1 without a driver; waits for it a bounded time. Context: any.
void early_put(char c);

}  // namespace ringlet::arch
