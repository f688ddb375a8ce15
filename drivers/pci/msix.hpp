// The MSI-X capability and table of one function. PCI Local Bus 3.0 §6.8.2. Context: thread.
#pragma once

#include "arch/irq_types.hpp"
#include "drivers/pci/function.hpp"

namespace ringlet::pci {

class Msix {
public:
    Msix() = default;
    /// Maps the table; enables nothing. Error::not_found: no capability. Error::corrupt: the table does not
    /// lie inside a BAR.
    static Result<Msix> open(Function& f);

    /// How many vectors the function has: 1..2048. 0 for a default-constructed object.
    u16 vectors() const { return vectors_; }
    /// Writes address and data of one vector (which is masked meanwhile and stays masked) and reads them
    /// back. Error::invalid: no such vector. Error::device_broken: the table does not hold what was written.
    Result<> program(u16 vector, arch::MsiMessage message);
    void mask(u16 vector);
    void unmask(u16 vector);

    /// Masks every vector, then switches the function from INTx to MSI-X. Error::device_broken if it does not
    /// stick.
    Result<> enable();
    void disable();
    /// Holds back all vectors at once, without touching their own masks.
    void mask_function();
    void unmask_function();

private:
    u16 control() const;
    void set_control(u16 value);
    void set_vector_mask(u16 vector, u32 value);
    std::uintptr_t entry(u16 vector) const { return table_ + vector * std::uintptr_t{16}; }

    Function* function_ = nullptr;
    std::uintptr_t table_ = 0;
    u16 capability_ = 0, vectors_ = 0;
};

}  // namespace ringlet::pci
