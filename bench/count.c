/* A QEMU TCG plugin: counts the guest's instructions, and writes "MARK <count>" into QEMU's log whenever the guest
 * executes a marker instruction. Traced events go to the same log, so everything between two markers belongs to what the
 * guest did there. */
#include "plugin.h"

static uint64_t executed;

static void mark(unsigned cpu, void* unused) {
    char line[48];
    (void)cpu, (void)unused;
    snprintf(line, sizeof line, "MARK %" PRIu64 "\n", executed);
    qemu_plugin_outs(line);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &executed, 1);
        if (is_mark(insn)) qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, NULL);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                                                                char** argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
