drop table irt.api_tokens;
