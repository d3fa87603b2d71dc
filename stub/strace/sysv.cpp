// The structures of System V IPC by command of shmctl, semctl and msgctl (uapi/linux/{shm,sem,msg}.h, and
// uapi/asm-generic/{ipc,shm,sem,msg}buf.h).  On i386 times have their upper half elsewhere; it is not shown.
#include <array>
#include <span>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum : std::uint32_t { kSet = 1, kStat = 2, kInfo = 3 };  // IPC_SET, …
constexpr std::uint32_t kIpc64 = 0x100;

enum class Form : std::uint8_t { kInt, kShort, kUser, kMode, kLong, kUlong, kPermission };

struct Member {
  std::string_view name;
  Form form;
  std::uint8_t at;
  std::uint8_t at_i386;
};

struct Structure {
  std::span<const Member> members;
  std::size_t size;
  std::size_t size_i386;
};

constexpr Member kSettable[] = {
    {"uid", Form::kUser, 4, 4}, {"gid", Form::kUser, 8, 8}, {"mode", Form::kMode, 20, 20}};
constexpr Member kWhole[] = {{"uid", Form::kUser, 4, 4},    {"gid", Form::kUser, 8, 8},
                             {"mode", Form::kMode, 20, 20}, {"key", Form::kInt, 0, 0},
                             {"cuid", Form::kUser, 12, 12}, {"cgid", Form::kUser, 16, 16}};

constexpr Member kShmSet[] = {{"shm_perm", Form::kPermission, 0, 0}};
constexpr Member kShmStat[] = {{"shm_perm", Form::kPermission, 0, 0}, {"shm_segsz", Form::kUlong, 48, 36},
                               {"shm_cpid", Form::kInt, 80, 64},      {"shm_lpid", Form::kInt, 84, 68},
                               {"shm_nattch", Form::kUlong, 88, 72},  {"shm_atime", Form::kLong, 56, 40},
                               {"shm_dtime", Form::kLong, 64, 48},    {"shm_ctime", Form::kLong, 72, 56}};
constexpr Member kShmLimits[] = {{"shmmax", Form::kUlong, 0, 0},
                                 {"shmmin", Form::kUlong, 8, 4},
                                 {"shmmni", Form::kUlong, 16, 8},
                                 {"shmseg", Form::kUlong, 24, 12},
                                 {"shmall", Form::kUlong, 32, 16}};
constexpr Member kShmInfo[] = {
    {"used_ids", Form::kInt, 0, 0},          {"shm_tot", Form::kUlong, 8, 4},
    {"shm_rss", Form::kUlong, 16, 8},        {"shm_swp", Form::kUlong, 24, 12},
    {"swap_attempts", Form::kUlong, 32, 16}, {"swap_successes", Form::kUlong, 40, 20}};

constexpr Member kMsgSet[] = {{"msg_perm", Form::kPermission, 0, 0}, {"msg_qbytes", Form::kUlong, 88, 68}};
constexpr Member kMsgStat[] = {{"msg_perm", Form::kPermission, 0, 0}, {"msg_stime", Form::kLong, 48, 36},
                               {"msg_rtime", Form::kLong, 56, 44},    {"msg_ctime", Form::kLong, 64, 52},
                               {"msg_qnum", Form::kUlong, 80, 64},    {"msg_qbytes", Form::kUlong, 88, 68},
                               {"msg_lspid", Form::kInt, 96, 72},     {"msg_lrpid", Form::kInt, 100, 76}};
constexpr Member kMsgInfo[] = {{"msgpool", Form::kInt, 0, 0},  {"msgmap", Form::kInt, 4, 4},
                               {"msgmax", Form::kInt, 8, 8},   {"msgmnb", Form::kInt, 12, 12},
                               {"msgmni", Form::kInt, 16, 16}, {"msgssz", Form::kInt, 20, 20},
                               {"msgtql", Form::kInt, 24, 24}, {"msgseg", Form::kShort, 28, 28}};

constexpr Member kSemSet[] = {{"sem_perm", Form::kPermission, 0, 0}};
constexpr Member kSemStat[] = {{"sem_perm", Form::kPermission, 0, 0},
                               {"sem_otime", Form::kLong, 48, 36},
                               {"sem_ctime", Form::kLong, 64, 44},
                               {"sem_nsems", Form::kUlong, 80, 52}};
constexpr Member kSemInfo[] = {{"semmap", Form::kInt, 0, 0},   {"semmni", Form::kInt, 4, 4},
                               {"semmns", Form::kInt, 8, 8},   {"semmnu", Form::kInt, 12, 12},
                               {"semmsl", Form::kInt, 16, 16}, {"semopm", Form::kInt, 20, 20},
                               {"semume", Form::kInt, 24, 24}, {"semusz", Form::kInt, 28, 28},
                               {"semvmx", Form::kInt, 32, 32}, {"semaem", Form::kInt, 36, 36}};
constexpr std::size_t kMostBytes = 120;

void print_members(Printer& printer, ByteView bytes, std::span<const Member> members, bool settable);

void print_member(Printer& printer, ByteView bytes, const Member& member, bool settable) {
  const std::uint8_t* const at = bytes.data() + (printer.i386() ? member.at_i386 : member.at);
  switch (member.form) {
    case Form::kInt:
      return printer.decimal(load<std::int32_t>(at));
    case Form::kShort:
      return printer.unsigned_decimal(load<std::uint16_t>(at));
    case Form::kUser:
      return printer.user(load<std::uint32_t>(at));
    case Form::kMode:
      return printer.octal(load<std::uint16_t>(at));
    case Form::kLong:
      return printer.decimal(printer.i386() ? load<std::int32_t>(at) : load<std::int64_t>(at));
    case Form::kUlong:
      return printer.unsigned_decimal(printer.i386() ? load<std::uint32_t>(at) : load<std::uint64_t>(at));
    case Form::kPermission:
      return print_members(printer, bytes, settable ? std::span<const Member>(kSettable) : kWhole, settable);
  }
}

void print_members(Printer& printer, ByteView bytes, std::span<const Member> members, bool settable) {
  std::string_view before = "{";
  for (const Member& member : members) {
    printer.format("{}{}=", before, member.name);
    print_member(printer, bytes, member, settable);
    before = ", ";
  }
  printer.text("}");
}

// Whether it could be read.
bool print_structure(Printer& printer, std::uint64_t at, const Structure& structure, bool settable) {
  std::array<std::uint8_t, kMostBytes> storage;
  const MutableByteView bytes =
      MutableByteView(storage).first(printer.i386() ? structure.size_i386 : structure.size);
  if (at == 0 || !printer.read(at, bytes)) return false;
  print_members(printer, bytes, structure.members, settable);
  return true;
}

// By command; nothing for those that have none.
using Choose = std::optional<Structure> (*)(std::uint32_t command);

std::optional<Structure> shm_structure(std::uint32_t command) {
  enum : std::uint32_t { kShmStatCommand = 13, kShmInfoCommand = 14, kShmStatAny = 15 };
  switch (command & ~kIpc64) {
    case kSet:
      return Structure{kShmSet, 112, 84};
    case kStat:
    case kShmStatCommand:
    case kShmStatAny:
      return Structure{kShmStat, 112, 84};
    case kInfo:
      return Structure{kShmLimits, 72, 36};
    case kShmInfoCommand:
      return Structure{kShmInfo, 48, 24};
    default:
      return std::nullopt;
  }
}

std::optional<Structure> msg_structure(std::uint32_t command) {
  enum : std::uint32_t { kMsgStatCommand = 11, kMsgInfoCommand = 12, kMsgStatAny = 13 };
  switch (command & ~kIpc64) {
    case kSet:
      return Structure{kMsgSet, 120, 88};
    case kStat:
    case kMsgStatCommand:
    case kMsgStatAny:
      return Structure{kMsgStat, 120, 88};
    case kInfo:
    case kMsgInfoCommand:
      return Structure{kMsgInfo, 32, 32};
    default:
      return std::nullopt;
  }
}

std::optional<Structure> sem_structure(std::uint32_t command) {
  enum : std::uint32_t { kSemStatCommand = 18, kSemInfoCommand = 19, kSemStatAny = 20 };
  switch (command & ~kIpc64) {
    case kSet:
      return Structure{kSemSet, 104, 64};
    case kStat:
    case kSemStatCommand:
    case kSemStatAny:
      return Structure{kSemStat, 104, 64};
    case kInfo:
    case kSemInfoCommand:
      return Structure{kSemInfo, 40, 40};
    default:
      return std::nullopt;
  }
}

bool sets(std::uint32_t command) { return (command & ~kIpc64) == kSet; }

void print_control_argument(Printer& printer, unsigned at, Choose choose) {
  const std::uint32_t command = printer.uint_arg(at - 1);
  const auto structure = choose(command);
  if (!structure || !print_structure(printer, printer.arg(at), *structure, sets(command)))
    printer.pointer(printer.arg(at));
}

When when_control(std::uint64_t word, Choose choose) {
  const auto command = static_cast<std::uint32_t>(word);
  return choose(command) && !sets(command) ? When::kReturn : When::kEntry;
}

}  // namespace

When when_shmctl_argument(const Call& call) { return when_control(call.args[1], shm_structure); }
When when_msgctl_argument(const Call& call) { return when_control(call.args[1], msg_structure); }
When when_semctl_argument(const Call& call) { return when_control(call.args[2], sem_structure); }
When when_semctl_indirect(const Call& call) { return when_semctl_argument(call); }

void print_shmctl_argument(Printer& printer, unsigned at) {
  print_control_argument(printer, at, shm_structure);
}
void print_msgctl_argument(Printer& printer, unsigned at) {
  print_control_argument(printer, at, msg_structure);
}
void print_semctl_argument(Printer& printer, unsigned at) {
  print_control_argument(printer, at, sem_structure);
}

// ipc()'s: the argument lies where the pointer says.
void print_semctl_indirect(Printer& printer, unsigned at) {
  const std::uint32_t command = printer.uint_arg(at - 1);
  const std::uint64_t where = printer.arg(at);
  const auto word = where == 0 ? std::nullopt : printer.before_return().load_word(where);
  if (!word) return printer.pointer(where);
  const auto structure = sem_structure(command);
  if (structure && print_structure(printer, *word, *structure, sets(command))) return;
  if (structure && structure->members.data() == std::data(kSemInfo)) return printer.pointer(*word);
  printer.text("[");
  printer.pointer(*word);
  printer.text("]");
}

}  // namespace ringside::strace::arguments
