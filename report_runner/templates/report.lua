-- Blocks of the reports: what a Div's class stands for in the document that is written.
-- The same names work in `quarto render` and in the compile step of the report runner.

local html_tags = {
  masthead = 'header', panel = 'section', colophon = 'footer', chart = 'figure',
  cards = 'ul', card = 'li', items = 'ul', item = 'li', figures = 'ul', figure = 'li',
  grid = 'table', row = 'tr',
}

-- A statement of the template language, alone in its paragraph, is no paragraph.
local function is_statement(block)
  return (block.t == 'Para' or block.t == 'Plain') and #block.content == 1
    and block.content[1].t == 'Str' and block.content[1].text:match('^JSTATEMENT%d+X$')
end

local function classes(div)
  local names = {}
  for _, name in ipairs(div.classes) do
    names[#names + 1] = (name:gsub('[^%w_-]', ''))
  end
  return table.concat(names, ' ')
end

local function html_div(div)
  local tag = nil
  for _, name in ipairs(div.classes) do
    tag = tag or html_tags[name]
  end
  if div.classes:includes('callout-note') then tag = 'aside' end
  if div.classes:includes('headline') then tag = 'p' end
  if tag == nil then return nil end
  local blocks = pandoc.List()
  -- A table that is wider than a phone scrolls by itself, with the keyboard too.
  if tag == 'table' then blocks:insert(pandoc.RawBlock('html', '<div class="scroll" tabindex="0">')) end
  blocks:insert(pandoc.RawBlock('html', '<' .. tag .. ' class="' .. classes(div) .. '">'))
  local last = #div.content
  for index, block in ipairs(div.content) do
    if tag == 'p' and block.t == 'Para' then
      blocks:insert(pandoc.Plain(block.content))
    elseif tag == 'figure' and index == last and block.t == 'Para' then
      blocks:insert(pandoc.RawBlock('html', '<figcaption>'))
      blocks:insert(pandoc.Plain(block.content))
      blocks:insert(pandoc.RawBlock('html', '</figcaption>'))
    elseif (tag == 'figure' or tag == 'tr') and block.t == 'Para' then
      blocks:insert(pandoc.Plain(block.content))
    else
      blocks:insert(block)
    end
  end
  blocks:insert(pandoc.RawBlock('html', '</' .. tag .. '>'))
  if tag == 'table' then blocks:insert(pandoc.RawBlock('html', '</div>')) end
  return blocks
end

local cells = { head = { '<th scope="col">', '</th>' }, cell = { '<td>', '</td>' } }

local function html_span(span)
  local cell = cells[span.classes[1]]
  if cell then
    local inlines = pandoc.List({ pandoc.RawInline('html', cell[1]) })
    inlines:extend(span.content)
    inlines:insert(pandoc.RawInline('html', cell[2]))
    return inlines
  end
  if not span.attributes['data-value'] then return nil end
  local open = '<data class="' .. classes(span) .. '" data-name="'
    .. (span.attributes['data-name'] or '') .. '" value="' .. span.attributes['data-value'] .. '">'
  local inlines = pandoc.List({ pandoc.RawInline('html', open) })
  inlines:extend(span.content)
  inlines:insert(pandoc.RawInline('html', '</data>'))
  return inlines
end

local function unwrap(block)
  if is_statement(block) then
    return pandoc.RawBlock(FORMAT, block.content[1].text)
  end
end

-- Typst: every Div is a function of the theme. A container's children are its arguments, so
-- they are written without the mark that starts code in text.
local containers = {
  cards = true, items = true, figures = true, split = true, grid = true, row = true,
}
local functions = { figure = 'figure-item', grid = 'data-table' }
local spans = {
  label = true, period = true, name = true, group = true, before = true, meaning = true,
  unit = true, content = true, target = true, ['figure-value'] = true,
}
-- Functions that take the second class.
local kinds = { card = true, label = true, ['figure-value'] = true }

local function raw(text)
  return pandoc.RawBlock('typst', text)
end

local function call(element)
  local class = element.classes[1]
  local text = 'r.' .. (functions[class] or class)
  if kinds[class] and element.classes[2] then
    text = text .. '(kind: "' .. element.classes[2]:gsub('[^%w_-]', '') .. '")'
  end
  return text
end

local typst_blocks

local function typst_div(div, is_argument)
  local class = div.classes[1]
  local mark = is_argument and '' or '#'
  local done = is_argument and ',' or ''
  if containers[class] then
    local blocks = pandoc.List({ raw(mark .. call(div) .. '(') })
    blocks:extend(typst_blocks(div.content, true))
    blocks:insert(raw(')' .. done))
    return blocks
  end
  local content, head = div.content, call(div)
  local last = content[#content]
  if class == 'chart' and #content > 1 then
    -- The last paragraph is the caption.
    local blocks = pandoc.List({ raw(mark .. head .. '(caption: [') })
    blocks:insert(pandoc.Plain(last.content))
    blocks:insert(raw('])['))
    for index = 1, #content - 1 do blocks:insert(content[index]) end
    blocks:insert(raw(']' .. done))
    return blocks
  end
  local blocks = pandoc.List({ raw(mark .. head .. '[') })
  blocks:extend(typst_blocks(content, false))
  blocks:insert(raw(']' .. done))
  return blocks
end

function typst_blocks(blocks, is_argument)
  local written = pandoc.List()
  for index, block in ipairs(blocks) do
    local following = blocks[index + 1]
    if block.t == 'Div' and #block.classes > 0 then
      written:extend(typst_div(block, is_argument))
    elseif block.t == 'Para' and following and following.t == 'Div'
      and containers[following.classes[1]] then
      written:extend({ raw('#r.lead-in['), pandoc.Plain(block.content), raw(']') })
    else
      written:insert(block)
    end
  end
  return written
end

local function typst_span(span)
  if cells[span.classes[1]] then
    local inlines = pandoc.List({ pandoc.RawInline('typst', '[') })
    inlines:extend(span.content)
    inlines:insert(pandoc.RawInline('typst', '],'))
    return inlines
  end
  if not spans[span.classes[1]] then return nil end
  local inlines = pandoc.List({ pandoc.RawInline('typst', '#' .. call(span) .. '[') })
  inlines:extend(span.content)
  inlines:insert(pandoc.RawInline('typst', '];'))
  return inlines
end

local function typst_document(document)
  document.blocks = typst_blocks(document.blocks, false)
  return document
end

if FORMAT:match('html') then
  return { { Para = unwrap, Plain = unwrap }, { Div = html_div, Span = html_span } }
end
return {
  { Para = unwrap, Plain = unwrap },
  { Span = typst_span },
  { Pandoc = typst_document },
}
