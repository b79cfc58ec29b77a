-- Blocks of the reports: what a Div's class stands for in the document that is written.
-- The same names work in `quarto render` and in the compile step of the report runner.

local html_tags = {
  masthead = 'header', panel = 'section', colophon = 'footer', chart = 'figure',
  cards = 'ul', card = 'li', items = 'ul', item = 'li', figures = 'ul', figure = 'li',
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
  blocks:insert(pandoc.RawBlock('html', '<' .. tag .. ' class="' .. classes(div) .. '">'))
  local last = #div.content
  for index, block in ipairs(div.content) do
    if tag == 'p' and block.t == 'Para' then
      blocks:insert(pandoc.Plain(block.content))
    elseif tag == 'figure' and index == last and block.t == 'Para' then
      blocks:insert(pandoc.RawBlock('html', '<figcaption>'))
      blocks:insert(pandoc.Plain(block.content))
      blocks:insert(pandoc.RawBlock('html', '</figcaption>'))
    elseif tag == 'figure' and block.t == 'Para' then
      blocks:insert(pandoc.Plain(block.content))
    else
      blocks:insert(block)
    end
  end
  blocks:insert(pandoc.RawBlock('html', '</' .. tag .. '>'))
  return blocks
end

local function html_span(span)
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

if FORMAT:match('html') then
  return { { Para = unwrap, Plain = unwrap }, { Div = html_div, Span = html_span } }
end
return { { Para = unwrap, Plain = unwrap } }
