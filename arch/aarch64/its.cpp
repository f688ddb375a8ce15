// stub
#include "gic.hpp"
namespace ringlet::arch {
Result<> its_init(const MmioRange&, u64) { return fail(Error::unsupported); }
bool its_present() { return false; }
Result<IrqId> its_allocate(u32, MsiMessage&) { return fail(Error::unsupported); }
void its_free(u32) {}
void its_set_enabled(u32, u8) {}
}
