package starter

type object = map[string]any

// openAPI returns the description of web-api, as the OpenAPI Specification 3.0 describes it.
func openAPI() object {
	properties := object{}
	for _, name := range []string{"id", "title", "url", "authorName", "authorBlog", "authorTwitter"} {
		properties[name] = object{"type": "string"}
	}
	list := object{"type": "array", "items": object{"type": "object", "properties": properties}}
	return object{
		"openapi": "3.0.3",
		"info":    object{"title": "web-api", "version": "1.0.0"},
		"paths": object{
			"/web-api/v1/getmultiple": object{
				"get": object{
					"summary": "the latest articles with their authors",
					"responses": object{
						"200": object{
							"description": "the articles, the latest first",
							"content":     object{"application/json": object{"schema": list}},
						},
					},
				},
			},
		},
	}
}
