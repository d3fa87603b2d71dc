#include "disasm/decoder.hpp"

#include <capstone/capstone.h>

namespace ringside::disasm {

struct Decoder::Handle {
  csh engine = 0;
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (engine != 0) cs_close(&engine);
  }
};

namespace {

cs_mode mode_of(x86::CodeSize size) {
  switch (size) {
    case x86::CodeSize::k16:
      return CS_MODE_16;
    case x86::CodeSize::k32:
      return CS_MODE_32;
    case x86::CodeSize::k64:
      return CS_MODE_64;
  }
  return CS_MODE_64;
}

}  // namespace

Decoder::Decoder(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Result<Decoder> Decoder::create(x86::CodeSize size) {
  auto handle = std::make_unique<Handle>();
  const cs_err error = cs_open(CS_ARCH_X86, mode_of(size), &handle->engine);
  if (error != CS_ERR_OK) return fail(Errc::kSystem, std::string("Capstone: ") + cs_strerror(error));
  cs_option(handle->engine, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
  return Decoder(std::move(handle));
}

std::vector<Line> Decoder::lines(ByteView code, Gva at, std::size_t count) const {
  std::vector<Line> lines;
  const std::uint8_t* next = code.data();
  std::size_t left = code.size();
  std::uint64_t address = at.value;
  std::unique_ptr<cs_insn, void (*)(cs_insn*)> insn(cs_malloc(handle_->engine),
                                                    [](cs_insn* one) { cs_free(one, 1); });
  while (lines.size() < count && left > 0) {
    Line line{.at = Gva{address}, .length = 1, .text = "(bad)"};
    if (cs_disasm_iter(handle_->engine, &next, &left, &address, insn.get())) {
      line.length = static_cast<std::uint8_t>(insn->size);
      line.text = insn->mnemonic;
      if (insn->op_str[0] != '\0') line.text += std::string(" ") + insn->op_str;
    } else {
      if (left < kLongestInstruction) break;  // perhaps only cut off
      ++next, --left, ++address;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace ringside::disasm
