// The attributes of bpf() by command (uapi/linux/bpf.h).  A structure that has grown is shown as far as the
// caller's size reaches; what it does not have of a group that it has begun is 0, as the kernel takes it.
#include <algorithm>
#include <array>
#include <span>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum class Form : std::uint8_t {
  kNumber,   // unsigned int
  kLong,     // unsigned long long
  kHex,      // unsigned int
  kHexLong,  // unsigned long long
  kFd,
  kAddress,
  kPath,
  kString,
  kBuffer,   // its size is the 32 bits at `other`
  kText,     // the same, and it ends with the first NUL
  kList,     // its length is there; a list that is not empty is shown as its address
  kName,     // characters, up to a NUL
  kVersion,  // of a kernel
  kNamed,    // an unsigned int by `names`
  kNamedLong,
  kFlags,
  kFlagsLong,
};

struct Member {
  std::string_view name;
  Form form;
  std::uint8_t at;
  std::uint8_t group = 0;  // is shown when there is anything behind this
  const Names* names = nullptr;
  std::uint8_t other = 0;
  std::uint32_t condition = 0;  // is shown if one of these bits is set in the 32 at `other`
};

struct Structure {
  std::span<const Member> members;
  std::size_t size;
  std::string_view name = {};  // of the structure within the attributes
};

constexpr Member kMapCreate[] = {{"map_type", Form::kNamed, 0, 0, &names::bpf_map_types},
                                 {"key_size", Form::kNumber, 4},
                                 {"value_size", Form::kNumber, 8},
                                 {"max_entries", Form::kNumber, 12},
                                 {"map_flags", Form::kFlags, 16, 16, &names::bpf_map_flags},
                                 {"inner_map_fd", Form::kFd, 20, 20},
                                 {"numa_node", Form::kNumber, 24, 24, nullptr, 16, 4},
                                 {"map_name", Form::kName, 28, 28},
                                 {"map_ifindex", Form::kNumber, 44, 44},
                                 {"btf_fd", Form::kFd, 48, 48},
                                 {"btf_key_type_id", Form::kNumber, 52, 48},
                                 {"btf_value_type_id", Form::kNumber, 56, 48},
                                 {"btf_vmlinux_value_type_id", Form::kNumber, 60, 60},
                                 {"map_extra", Form::kLong, 64, 64}};
constexpr Member kLookup[] = {{"map_fd", Form::kFd, 0},
                              {"key", Form::kAddress, 8},
                              {"value", Form::kAddress, 16},
                              {"flags", Form::kFlagsLong, 24, 24, &names::bpf_lookup_flags}};
constexpr Member kUpdate[] = {{"map_fd", Form::kFd, 0},
                              {"key", Form::kAddress, 8},
                              {"value", Form::kAddress, 16},
                              {"flags", Form::kNamedLong, 24, 0, &names::bpf_update_flags}};
constexpr Member kDelete[] = {{"map_fd", Form::kFd, 0}, {"key", Form::kAddress, 8}};
constexpr Member kNextKey[] = {
    {"map_fd", Form::kFd, 0}, {"key", Form::kAddress, 8}, {"next_key", Form::kAddress, 16}};
constexpr Member kProgLoad[] = {{"prog_type", Form::kNamed, 0, 0, &names::bpf_prog_types},
                                {"insn_cnt", Form::kNumber, 4},
                                {"insns", Form::kAddress, 8},
                                {"license", Form::kString, 16},
                                {"log_level", Form::kNumber, 24, 24},
                                {"log_size", Form::kNumber, 28, 24},
                                {"log_buf", Form::kText, 32, 24, nullptr, 28},
                                {"kern_version", Form::kVersion, 40, 40},
                                {"prog_flags", Form::kFlags, 44, 44, &names::bpf_prog_flags},
                                {"prog_name", Form::kName, 48, 48},
                                {"prog_ifindex", Form::kNumber, 64, 64},
                                {"expected_attach_type", Form::kNamed, 68, 68, &names::bpf_attach_types},
                                {"prog_btf_fd", Form::kFd, 72, 72},
                                {"func_info_rec_size", Form::kNumber, 76, 72},
                                {"func_info", Form::kAddress, 80, 72},
                                {"func_info_cnt", Form::kNumber, 88, 72},
                                {"line_info_rec_size", Form::kNumber, 92, 72},
                                {"line_info", Form::kAddress, 96, 72},
                                {"line_info_cnt", Form::kNumber, 104, 72},
                                {"attach_btf_id", Form::kNumber, 108, 108},
                                {"attach_prog_fd", Form::kFd, 112, 112},
                                {"fd_array", Form::kAddress, 120, 120}};
constexpr Member kObject[] = {{"pathname", Form::kPath, 0},
                              {"bpf_fd", Form::kFd, 8},
                              {"file_flags", Form::kFlags, 12, 12, &names::bpf_file_flags}};
constexpr Member kAttach[] = {{"target_fd", Form::kFd, 0},
                              {"attach_bpf_fd", Form::kFd, 4},
                              {"attach_type", Form::kNamed, 8, 0, &names::bpf_attach_types},
                              {"attach_flags", Form::kFlags, 12, 0, &names::bpf_attach_flags},
                              {"replace_bpf_fd", Form::kFd, 16, 16}};
constexpr Member kDetach[] = {{"target_fd", Form::kFd, 0},
                              {"attach_type", Form::kNamed, 8, 0, &names::bpf_attach_types}};
constexpr Member kTestRun[] = {{"prog_fd", Form::kFd, 0},
                               {"retval", Form::kNumber, 4},
                               {"data_size_in", Form::kNumber, 8},
                               {"data_size_out", Form::kNumber, 12},
                               {"data_in", Form::kAddress, 16},
                               {"data_out", Form::kAddress, 24},
                               {"repeat", Form::kNumber, 32},
                               {"duration", Form::kNumber, 36},
                               {"ctx_size_in", Form::kNumber, 40, 40},
                               {"ctx_size_out", Form::kNumber, 44, 40},
                               {"ctx_in", Form::kAddress, 48, 40},
                               {"ctx_out", Form::kAddress, 56, 40},
                               {"flags", Form::kFlags, 64, 64, &names::bpf_test_flags},
                               {"cpu", Form::kNumber, 68, 64},
                               {"batch_size", Form::kNumber, 72, 72}};
constexpr Member kNextId[] = {{"start_id", Form::kNumber, 0},
                              {"next_id", Form::kNumber, 4},
                              {"open_flags", Form::kFlags, 8, 8, &names::bpf_file_flags}};
constexpr Member kProgById[] = {{"prog_id", Form::kNumber, 0},
                                {"next_id", Form::kNumber, 4},
                                {"open_flags", Form::kFlags, 8, 8, &names::bpf_file_flags}};
constexpr Member kMapById[] = {{"map_id", Form::kNumber, 0},
                               {"next_id", Form::kNumber, 4},
                               {"open_flags", Form::kFlags, 8, 8, &names::bpf_file_flags}};
constexpr Member kInfo[] = {
    {"bpf_fd", Form::kFd, 0}, {"info_len", Form::kNumber, 4}, {"info", Form::kAddress, 8}};
constexpr Member kQuery[] = {{"target_fd", Form::kFd, 0},
                             {"attach_type", Form::kNamed, 4, 0, &names::bpf_attach_types},
                             {"query_flags", Form::kFlags, 8, 0, &names::bpf_query_flags},
                             {"attach_flags", Form::kFlags, 12, 0, &names::bpf_attach_flags},
                             {"prog_ids", Form::kList, 16, 0, nullptr, 24},
                             {"prog_cnt", Form::kNumber, 24}};
constexpr Member kTracepoint[] = {{"name", Form::kString, 0}, {"prog_fd", Form::kFd, 8}};
constexpr Member kBtfLoad[] = {{"btf", Form::kBuffer, 0, 0, nullptr, 16},
                               {"btf_log_buf", Form::kAddress, 8},
                               {"btf_size", Form::kNumber, 16},
                               {"btf_log_size", Form::kNumber, 20},
                               {"btf_log_level", Form::kNumber, 24}};
constexpr Member kBtfById[] = {{"btf_id", Form::kNumber, 0}};
constexpr Member kTaskFd[] = {{"pid", Form::kNumber, 0},
                              {"fd", Form::kFd, 4},
                              {"flags", Form::kNumber, 8},
                              {"buf_len", Form::kNumber, 12},
                              {"buf", Form::kText, 16, 0, nullptr, 12},
                              {"prog_id", Form::kNumber, 24},
                              {"fd_type", Form::kNamed, 28, 0, &names::bpf_fd_types},
                              {"probe_offset", Form::kHexLong, 32},
                              {"probe_addr", Form::kHexLong, 40}};
constexpr Member kFreeze[] = {{"map_fd", Form::kFd, 0}};
constexpr Member kBatch[] = {{"in_batch", Form::kAddress, 0},
                             {"out_batch", Form::kAddress, 8},
                             {"keys", Form::kAddress, 16},
                             {"values", Form::kAddress, 24},
                             {"count", Form::kNumber, 32},
                             {"map_fd", Form::kFd, 36},
                             {"elem_flags", Form::kFlagsLong, 40, 0, &names::bpf_lookup_flags},
                             {"flags", Form::kHexLong, 48}};
constexpr Member kDeleteBatch[] = {kBatch[2], kBatch[4], kBatch[5], kBatch[6], kBatch[7]};
constexpr Member kLinkCreate[] = {{"prog_fd", Form::kFd, 0},
                                  {"target_fd", Form::kFd, 4},
                                  {"attach_type", Form::kNamed, 8, 0, &names::bpf_attach_types},
                                  {"flags", Form::kHex, 12}};
constexpr Member kLinkUpdate[] = {{"link_fd", Form::kFd, 0},
                                  {"new_prog_fd", Form::kFd, 4},
                                  {"flags", Form::kFlags, 8, 0, &names::bpf_attach_flags},
                                  {"old_prog_fd", Form::kFd, 12, 0, nullptr, 8, 4}};
constexpr Member kLinkById[] = {{"link_id", Form::kNumber, 0}};

// By command; those that have no structure here print as their address.
constexpr Structure kStructures[] = {{kMapCreate, 72},
                                     {kLookup, 32},
                                     {kUpdate, 32},
                                     {kDelete, 16},
                                     {kNextKey, 24},
                                     {kProgLoad, 128},
                                     {kObject, 16},
                                     {kObject, 16},
                                     {kAttach, 20},
                                     {kDetach, 12},
                                     {kTestRun, 76, "test"},
                                     {kNextId, 12},
                                     {kNextId, 12},
                                     {kProgById, 12},
                                     {kMapById, 12},
                                     {kInfo, 16, "info"},
                                     {kQuery, 28, "query"},
                                     {kTracepoint, 12, "raw_tracepoint"},
                                     {kBtfLoad, 28},
                                     {kBtfById, 4},
                                     {kTaskFd, 48, "task_fd_query"},
                                     {kLookup, 32},
                                     {kFreeze, 4},
                                     {kNextId, 12},
                                     {kBatch, 56, "batch"},
                                     {kBatch, 56, "batch"},
                                     {std::span(kBatch).subspan(2), 56, "batch"},
                                     {kDeleteBatch, 56, "batch"},
                                     {kLinkCreate, 16, "link_create"},
                                     {kLinkUpdate, 16, "link_update"},
                                     {kLinkById, 4},
                                     {kNextId, 12}};

constexpr std::size_t kNameBytes = 16;  // BPF_OBJ_NAME_LEN
constexpr std::size_t kMostBytes = 160;
using Attributes = std::array<std::uint8_t, kMostBytes>;

// Text that need not end within its buffer.
void print_text(Printer& printer, std::uint64_t at, std::uint32_t size) {
  std::array<std::uint8_t, 4096> storage;
  if (size > std::min<std::size_t>(printer.style().string_limit, storage.size())) return printer.string(at);
  const MutableByteView bytes = MutableByteView(storage).first(size);
  if (at == 0 || !printer.read(at, bytes)) return printer.pointer(at);
  const auto end = std::ranges::find(bytes, 0);
  printer.quoted(bytes.first(static_cast<std::size_t>(end - bytes.begin())),
                 end == bytes.end() ? Printer::Cut::kYes : Printer::Cut::kNo);
}

// Without a NUL at its end it is no name: strace shows all but the last character.
void print_name(Printer& printer, ByteView name) {
  const auto size = static_cast<std::size_t>(std::ranges::find(name, 0) - name.begin());
  printer.quoted(name.first(std::min(size, kNameBytes - 1)),
                 size == kNameBytes ? Printer::Cut::kYes : Printer::Cut::kNo);
}

void print_member(Printer& printer, const Attributes& bytes, const Member& member) {
  const auto half = load<std::uint32_t>(bytes.data() + member.at);
  const auto whole = load<std::uint64_t>(bytes.data() + member.at);
  switch (member.form) {
    case Form::kNumber:
      return printer.unsigned_decimal(half);
    case Form::kLong:
      return printer.unsigned_decimal(whole);
    case Form::kHex:
      return printer.hex(half);
    case Form::kHexLong:
      return printer.hex(whole);
    case Form::kFd:
      return printer.fd(static_cast<std::int32_t>(half));
    case Form::kAddress:
      return printer.pointer(whole);
    case Form::kPath:
      return printer.path(whole);
    case Form::kString:
      return printer.string(whole);
    case Form::kBuffer:
      return printer.buffer(whole, load<std::uint32_t>(bytes.data() + member.other));
    case Form::kText:
      return print_text(printer, whole, load<std::uint32_t>(bytes.data() + member.other));
    case Form::kList:
      return whole != 0 && load<std::uint32_t>(bytes.data() + member.other) == 0 ? printer.text("[]")
                                                                                 : printer.pointer(whole);
    case Form::kName:
      return print_name(printer, ByteView(bytes).subspan(member.at, kNameBytes));
    case Form::kVersion:
      return printer.format("KERNEL_VERSION({}, {}, {})", half >> 16, half >> 8 & 0xff, half & 0xff);
    case Form::kNamed:
      return printer.named(*member.names, half);
    case Form::kNamedLong:
      return printer.named(*member.names, whole);
    case Form::kFlags:
      return printer.flags(*member.names, half);
    case Form::kFlagsLong:
      return printer.flags(*member.names, whole);
  }
}

void print_members(Printer& printer, const Attributes& bytes, std::size_t size,
                   std::span<const Member> members) {
  std::string_view before = "{";
  for (const Member& member : members) {
    if (size <= member.group) break;
    if (member.condition != 0 && (load<std::uint32_t>(bytes.data() + member.other) & member.condition) == 0)
      continue;
    printer.format("{}{}=", before, member.name);
    print_member(printer, bytes, member);
    before = ", ";
  }
}

}  // namespace

void print_bpf_attribute(Printer& printer, unsigned at) {
  const std::uint32_t command = printer.uint_arg(at - 1);
  const std::uint64_t where = printer.arg(at);
  const std::size_t size = std::min<std::size_t>(printer.uint_arg(at + 1), kMostBytes);
  Attributes bytes{};
  if (command >= std::size(kStructures) || size == 0 || where == 0 ||
      !printer.read(where, MutableByteView(bytes).first(size)))
    return printer.pointer(where);
  const Structure& structure = kStructures[command];
  if (!structure.name.empty()) printer.format("{{{}=", structure.name);
  print_members(printer, bytes, size, structure.members);
  if (!structure.name.empty()) printer.text("}");
  const ByteView beyond = ByteView(bytes).subspan(structure.size);
  if (std::ranges::any_of(beyond, [](std::uint8_t byte) { return byte != 0; })) printer.text(", ...");
  printer.text("}");
}

}  // namespace ringside::strace::arguments
