// A kernel in miniature that runs: two processes, one with a thread, files, a module, a log, stacks.  Offsets are
// nobody's: the readers must take them from the type information.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "stub/guestos/kernel.hpp"
#include "tests/unit/guestos/images.hpp"

namespace ringside::guestos::test {

class SmallKernel {
 public:
  static constexpr Gva kText{0xffffffff81000000};
  static constexpr std::uint64_t kTaskComm = 32, kTaskTasks = 48, kTaskSignal = 72, kTaskThreadNode = 80;

  SmallKernel() {
    lay_out_types();
    tasks();
    stacks();
    put(symbols_["linux_banner"], "Linux version 9.9.9 (small)\n");
  }

  FlatMemory& memory() { return memory_; }
  Gva task(int number) const { return kText + 0x40000 + 0x1000 * static_cast<std::uint64_t>(number); }
  Gva place(std::uint64_t offset) const { return kText + 0x80000 + offset; }
  void word(Gva at, Gva value) { memory_.put(at, value.value); }
  void put(Gva at, std::string_view text) { memory_.put_text(at, text); }

  // As recognise() finds it, with what has been put in by now.
  Result<std::shared_ptr<const Kernel>> kernel() {
    std::vector<TestSymbol> list;
    for (int i = 0; i < 600; ++i) {
      list.push_back({kText.value + 16 * static_cast<std::uint64_t>(i), 't', "filler_" + std::to_string(i)});
    }
    for (const auto& [name, at] : symbols_) list.push_back({at.value, 'D', name});
    std::ranges::stable_sort(list, {}, &TestSymbol::at);
    put_kallsyms(memory_, kText + 0x100000, list, kText.value, KallsymsLayout::kBehindIndex);
    return recognise(memory_, kText);
  }

 private:
  static constexpr std::uint64_t kBtf = 0x20000;

  void lay_out_types() {
    BtfImage btf;
    const auto number = btf.integer("int", 4);
    const auto big = btf.integer("long", 8);
    const auto byte = btf.integer("char", 1);
    const auto pointer = btf.pointer(0);
    const auto name = btf.array(byte, 16);
    const auto list = btf.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 8}});
    const auto info = btf.structure("thread_info", 24, {{"flags", big, 0}, {"cpu", number, 20}});
    const auto thread = btf.structure("thread_struct", 32, {{"sp", big, 8}});
    btf.structure("task_struct", 512,
                  {{"thread_info", info, 100},
                   {"__state", number, 4},
                   {"flags", number, 8},
                   {"pid", number, 12},
                   {"tgid", number, 16},
                   {"exit_state", number, 20},
                   {"real_parent", pointer, 24},
                   {"comm", name, kTaskComm},
                   {"tasks", list, kTaskTasks},
                   {"signal", pointer, kTaskSignal},
                   {"thread_node", list, kTaskThreadNode},
                   {"files", pointer, 128},
                   {"fs", pointer, 136},
                   {"on_cpu", byte, 200},
                   {"thread", thread, 144}});
    btf.structure("signal_struct", 64, {{"thread_head", list, 24}});
    btf.structure("inactive_task_frame", 56, {{"bp", big, 40}, {"ret_addr", big, 48}});
    const auto half = btf.integer("short", 2);
    btf.structure("orc_entry", 6,
                  {{"sp_offset", half, 0},
                   {"bp_offset", half, 2},
                   {"sp_reg", number, 4, 0, 4},
                   {"bp_reg", number, 4, 4, 4},
                   {"type", number, 4, 8, 3},
                   {"signal", number, 4, 11, 1}});
    const auto path = btf.structure("path", 16, {{"mnt", pointer, 0}, {"dentry", pointer, 8}});
    btf.structure("files_struct", 64, {{"fdt", pointer, 16}});
    btf.structure("fdtable", 64, {{"max_fds", number, 0}, {"fd", pointer, 8}});
    btf.structure("file", 64, {{"f_path", path, 24}});
    btf.structure("fs_struct", 64, {{"root", path, 8}, {"pwd", path, 24}});
    const auto qstr = btf.structure("qstr", 16, {{"len", number, 4}, {"name", pointer, 8}});
    const auto hash = btf.structure("hlist_bl_node", 16, {{"next", pointer, 0}, {"pprev", pointer, 8}});
    btf.structure("dentry", 128,
                  {{"d_hash", hash, 0},
                   {"d_parent", pointer, 24},
                   {"d_name", qstr, 32},
                   {"d_inode", pointer, 48},
                   {"d_sb", pointer, 56}});
    const auto vfsmount = btf.structure("vfsmount", 32, {{"mnt_root", pointer, 0}});
    btf.structure("mount", 96,
                  {{"mnt_parent", pointer, 8}, {"mnt_mountpoint", pointer, 16}, {"mnt", vfsmount, 32}});
    btf.structure("inode", 64, {{"i_ino", big, 40}});
    btf.structure("super_block", 64, {{"s_type", pointer, 8}});
    btf.structure("file_system_type", 64, {{"name", pointer, 0}});
    const auto ring = btf.structure("prb_desc_ring", 48,
                                    {{"count_bits", number, 0},
                                     {"descs", pointer, 8},
                                     {"infos", pointer, 16},
                                     {"head_id", big, 24},
                                     {"tail_id", big, 32}});
    const auto data = btf.structure("prb_data_ring", 32, {{"size_bits", number, 0}, {"data", pointer, 8}});
    btf.structure("printk_ringbuffer", 96, {{"desc_ring", ring, 0}, {"text_data_ring", data, 48}});
    const auto block = btf.structure("prb_data_blk_lpos", 16, {{"begin", big, 0}, {"next", big, 8}});
    btf.structure("prb_desc", 24, {{"state_var", big, 0}, {"text_blk_lpos", block, 8}});
    btf.structure("printk_info", 32, {{"ts_nsec", big, 8}, {"text_len", number, 16}});
    const auto attribute = btf.structure("attribute", 16, {{"name", pointer, 0}});
    btf.structure("bin_attribute", 64, {{"attr", attribute, 0}, {"private", pointer, 24}});
    const auto group = btf.structure("attribute_group", 48, {{"bin_attrs", pointer, 40}});
    btf.structure("module_sect_attrs", 48, {{"grp", group, 0}});
    const auto region = btf.structure("module_memory", 24, {{"base", pointer, 0}, {"size", number, 8}});
    const auto regions = btf.array(region, 2);
    const auto arch =
        btf.structure("mod_arch_specific", 24,
                      {{"num_orcs", number, 0}, {"orc_unwind_ip", pointer, 8}, {"orc_unwind", pointer, 16}});
    btf.structure("mod_kallsyms", 32,
                  {{"symtab", pointer, 0}, {"num_symtab", number, 8}, {"strtab", pointer, 16}});
    btf.structure("module", 256,
                  {{"state", number, 0},
                   {"list", list, 8},
                   {"name", name, 24},
                   {"mem", regions, 64},
                   {"sect_attrs", pointer, 128},
                   {"kallsyms", pointer, 136},
                   {"arch", arch, 144}});
    const Bytes bytes = btf.bytes();
    put(kText + kBtf, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    symbols_ = {{"_text", kText},
                {"__start_BTF", kText + kBtf},
                {"__stop_BTF", kText + kBtf + bytes.size()},
                {"linux_banner", kText + 0x30000},
                {"init_task", task(0)},
                {"modules", place(0)},
                {"prb", place(0x10)},
                {"__per_cpu_offset", place(0x20)},
                {"current_task", place(0x60)},
                {"_stext", kText},
                {"_etext", kText + 0x2000},
                {"do_syscall_64", kText + 0x110},
                {"__start_orc_unwind_ip", place(kOrcIps)},
                {"__stop_orc_unwind_ip", place(kOrcIps) + 4 * kOrcCount},
                {"__start_orc_unwind", place(kOrcEntries)},
                {"__stop_orc_unwind", place(kOrcEntries) + 6 * kOrcCount},
                {"_end", kText + 0x1f0000}};
  }

  void one_task(int number, std::string_view comm, std::int32_t pid, std::int32_t tgid, int parent,
                int signal) {
    const Gva at = task(number);
    memory_.put(at + 12, pid);
    memory_.put(at + 16, tgid);
    word(at + 24, task(parent));
    put(at + kTaskComm, comm);
    word(at + kTaskSignal, place(0x1000 + 0x40 * static_cast<std::uint64_t>(signal)));
  }
  void chain(Gva head, const std::vector<Gva>& nodes) {
    Gva last = head;
    for (const Gva node : nodes) {
      word(last, node);
      last = node;
    }
    word(last, head);
  }
  // swapper; init (1); worker (20) with a thread (21)
  void tasks() {
    one_task(0, "swapper", 0, 0, 0, 0);
    one_task(1, "init", 1, 1, 0, 1);
    one_task(2, "worker", 20, 20, 1, 2);
    one_task(3, "helper", 21, 20, 1, 2);
    memory_.put(task(1) + 4, std::uint32_t{1});
    memory_.put(task(2) + 4, std::uint32_t{0x402});
    memory_.put(task(2) + 8, std::uint32_t{0x00200000});
    chain(task(0) + kTaskTasks, {task(1) + kTaskTasks, task(2) + kTaskTasks});
    chain(place(0x1040) + 24, {task(1) + kTaskThreadNode});
    chain(place(0x1080) + 24, {task(2) + kTaskThreadNode, task(3) + kTaskThreadNode});
    word(place(0), place(0));  // no modules
    word(place(0x20), Gva{0x100});
    word(place(0x60) + 0x100, task(2));
  }

  void orc(std::uint64_t index, std::uint64_t text, std::uint32_t offsets, std::uint16_t rest) {
    const Gva ip = place(kOrcIps) + 4 * index, entry = place(kOrcEntries) + 6 * index;
    memory_.put(ip, static_cast<std::uint32_t>(kText + text - ip));
    memory_.put(entry, offsets);
    memory_.put(entry + 4, rest);
  }
  // init sleeps: filler_16 was called by filler_32, that by filler_48, with the user's registers above it.
  void stacks() {
    orc(0, 0x0, 8, 0x0205);             // a call, sp + 8
    orc(1, 0x200, 0xfff00010, 0x0214);  // a call, bp + 16, with bp at - 16
    orc(2, 0x300, 0, 0x0b05);           // registers at sp
    orc(3, 0x400, 0, 0x0100);           // the end
    const Gva stack = place(0x9000);
    memory_.put(task(1) + 201, std::uint8_t{1});  // beside on_cpu
    word(task(1) + 144 + 8, stack);
    word(stack + 40, stack + 0x100);
    word(stack + 48, kText + 0x108);
    word(stack + 56, kText + 0x208);
    word(stack + 0x100, Gva{0x77});
    word(stack + 0x108, kText + 0x308);
    word(stack + 0x110 + 16 * 8, Gva{0x401000});
    word(stack + 0x110 + 17 * 8, Gva{0x33});
  }

  static constexpr std::uint64_t kOrcIps = 0x8000, kOrcEntries = 0x8100, kOrcCount = 4;
  FlatMemory memory_{kText, 0x200000};
  std::map<std::string, Gva> symbols_;
};

}  // namespace ringside::guestos::test
