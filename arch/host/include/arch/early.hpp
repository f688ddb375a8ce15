// What runs before anything else; on the host next to nothing.
#pragma once

namespace ringlet::arch {

void cpu_init();
void early_put(char c);

}  // namespace ringlet::arch
